// Numbers and errors in the words of the page.

import { has, locale, say } from "./words.js";

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

function decimal(value, least, most) {
	return value.toLocaleString(locale, {
		minimumFractionDigits: least, maximumFractionDigits: most, useGrouping: false });
}

/** 1234567 -> "1.2 MB"; three digits are enough to see it move. */
export function formatBytes(bytes) {
	const [value, unit] = scale(bytes);
	const digits = unit === "B" || value >= 99.95 ? 0 : 1;
	return `${decimal(value, digits, digits)} ${unit}`;
}

/** 209715200 -> "200 MB"; never more than it is. */
export function formatLimit(bytes) {
	const [value, unit] = scale(bytes);
	return `${decimal(Math.floor(value * 10) / 10, 0, 1)} ${unit}`;
}

/** Seconds -> "8 s", "3 min", "2 h 10 min". */
export function formatDuration(seconds) {
	if (seconds < 90)
		return say("seconds", { count: Math.max(1, Math.ceil(seconds)) });
	const minutes = Math.round(seconds / 60);
	if (minutes < 90)
		return say("minutes", { count: minutes });
	const hours = Math.floor(minutes / 60);
	if (hours < 48)
		return say("hours", { hours, minutes: minutes % 60 });
	return say("days", { count: Math.round(hours / 24) });
}

/** Today only the time matters. */
export function formatTime(time) {
	const date = new Date(time);
	const today = date.toDateString() === new Date().toDateString();
	return date.toLocaleString(locale, today
		? { hour: "2-digit", minute: "2-digit" }
		: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
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
	return /^[a-z0-9]{1,4}$/i.test(extension) ? extension.toUpperCase() : say("badge");
}

const longest = 60;

/** For a sentence: the beginning of a long name and its extension. */
export function shorten(name) {
	const characters = [...name];
	if (characters.length <= longest)
		return name;
	return `${characters.slice(0, longest - 10).join("")}…${characters.slice(-9).join("")}`;
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

/** Was it tusfcgi that answered, and not the web server by itself? */
export const isOurs = (response) => ["Tus-Resumable", "Upload-Complete",
	"Upload-Draft-Interop-Version"].some((name) => response.getHeader(name));

/** Code and text of a refusal, in the words of either protocol. */
function refusalOf(response) {
	const body = response.getBody() || "";
	const [, code, text] = /^(ERR_[A-Z_]+): (.+)/.exec(body) ?? [];
	if (code || !/problem\+json/.test(response.getHeader("Content-Type") ?? ""))
		return { code, text };
	const problem = JSON.parse(body);
	return { code: problem.code, text: problem.title };
}

/** One sentence for a person, from an answer of the server or the lack of one. */
export function describeError(response) {
	if (!response)
		return say("error-unreachable");
	const status = response.getStatus();
	if (!isOurs(response) && (status === 413 || status === 500))
		return say("error-too-long");
	const { code, text } = refusalOf(response);
	if (code === "ERR_QUOTA_EXCEEDED")
		return say("error-quota");
	if (has(`error-${status}`))
		return say(`error-${status}`);
	return text ? say("error-said", { text }) : say("error-status", { status });
}
