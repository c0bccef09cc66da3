// Numbers and errors in the words of the page.

const units = ["B", "KB", "MB", "GB", "TB"];

/** As tusfcgi.conf counts, where 200M is 200 * 1024 * 1024. */
function scale(bytes) {
	let unit = 0;
	let value = bytes;
	while (value >= 999.5 && unit < units.length - 1) {
		value /= 1024;
		unit++;
	}
	return [value, units[unit]];
}

/** 1234567 -> "1.2 MB"; three digits are enough to see it move. */
export function formatBytes(bytes) {
	const [value, unit] = scale(bytes);
	const digits = unit === "B" || value >= 99.95 ? 0 : 1;
	return `${value.toFixed(digits)} ${unit}`;
}

/** 209715200 -> "200 MB"; never more than it is. */
export function formatLimit(bytes) {
	const [value, unit] = scale(bytes);
	return `${Math.floor(value * 10) / 10} ${unit}`;
}

/** Seconds -> "8 s", "3 min", "2 h 10 min". */
export function formatDuration(seconds) {
	if (seconds < 1)
		return "1 s";
	if (seconds < 90)
		return `${Math.ceil(seconds)} s`;
	const minutes = Math.round(seconds / 60);
	if (minutes < 90)
		return `${minutes} min`;
	const hours = Math.floor(minutes / 60);
	if (hours < 48)
		return `${hours} h ${minutes % 60} min`;
	return `${Math.round(hours / 24)} days`;
}

/** Whole percent; 100 only when everything is there. */
export function percentOf(bytes, size) {
	if (size === 0)
		return 100;
	return Math.floor((bytes / size) * 100);
}

/** "holiday.tar.gz" -> "GZ", for the little badge. */
export function extensionOf(name) {
	const dot = name.lastIndexOf(".");
	const extension = dot > 0 ? name.slice(dot + 1) : "";
	return /^[a-z0-9]{1,4}$/i.test(extension) ? extension.toUpperCase() : "FILE";
}

const kinds = [
	["film", /^video\/|\.(mkv|mov|mp4|webm|avi)$/i],
	["image", /^image\/|\.(raw|heic|psd)$/i],
	["sound", /^audio\/|\.(flac|wav)$/i],
	["archive", /zip|tar|compress|\.(gz|xz|zst|bz2|7z|rar|iso|img|deb)$/i],
	["text", /^text\/|pdf|document|\.(md|csv|json|odt|xls)$/i],
];

/** What sort of file, for the colour of the badge. */
export function kindOf(name, type) {
	const found = kinds.find(([, test]) => test.test(type || "") || test.test(name));
	return found ? found[0] : "other";
}

const byStatus = {
	401: "You need to log in to upload here.",
	403: "The server does not allow this upload.",
	404: "This upload is no longer on the server.",
	408: "The server waited too long for the connection.",
	410: "This upload has expired on the server.",
	413: "The file is larger than the server accepts.",
	423: "Another page or program is busy with this upload.",
	425: "The server wants to be asked again.",
	429: "The server has had too many requests.",
	502: "The upload service is not running.",
	503: "The server is too busy at the moment.",
	504: "The upload service did not answer in time.",
	507: "The server has no space left.",
};

/** One sentence for a person, from an answer of the server or the lack of one. */
export function describeError(response) {
	if (!response)
		return "The server cannot be reached.";
	const status = response.getStatus();
	const isOurs = response.getHeader("Tus-Resumable");
	if (!isOurs && (status === 413 || status === 500))
		return "The web server does not take so much in one request.";
	const said = /^(ERR_[A-Z_]+): (.+)/.exec(response.getBody() || "");
	if (said && said[1] === "ERR_QUOTA_EXCEEDED")
		return "You have as much here as you may. Remove something first.";
	if (byStatus[status])
		return byStatus[status];
	return said ? `The server says: ${said[2]}` : `The server answered ${status}.`;
}
