// One file on its way: everything between the page and tus-js-client.
//
// States:  waiting   for its turn          sending
//          paused    by the user           retrying  after a failure, by itself
//          offline   until the network is  failed    for good, says why
//          missing   known from an earlier visit, but the file is not here;
//                    with a handle it is a click away
//          done      gone      (cancelled)

/* global tus */

import { ask, passes, untilAnswered } from "./again.js";
import { describeError, isOurs } from "./format.js";
import { drop, keep, markPaused } from "./keep.js";

const retryDelays = [0, 1000, 2000, 4000, 8000, 15000, 30000, 30000, 30000];
const speedWindow = 4000;

/** As much as one request may have; see index.html. */
const largest =
	Number(document.querySelector("meta[name=tus-chunk-size]")?.content) || Infinity;

/** What every web server takes in one request, by its own defaults. */
const smallest = 128 * 1024;

/** As tus-js-client names it; the uploads are the same ones. */
let protocol = "tus-v1";

/** The IETF's protocol from now on, for what is started then. */
export function speakNewer() {
	protocol = "ietf-draft-05";
}

/** The answer to what failed; none if there was no answer. */
const responseOf = (error) => error.originalResponse ?? error.causingError?.response;

/** Did the web server, not tusfcgi, refuse a request for its length? */
function isTooLong(error) {
	const response = responseOf(error);
	return error.originalRequest?.getMethod() === "PATCH" &&
		[413, 500].includes(response?.getStatus()) &&
		!isOurs(response);
}

/** Would the same request of tus-js-client's have another answer later? */
const mayPass = (error) => passes(responseOf(error)?.getStatus() ?? 0);

/**
 * tus-js-client takes every answer to HEAD but 423 for "there is no such
 * upload" and begins anew.  Only these two say that.
 */
function checkHead(request, response) {
	const status = response.getStatus();
	if (request.getMethod() !== "HEAD" || status < 300 || [404, 410].includes(status))
		return;
	throw Object.assign(new Error(`HEAD: ${status}`), { response });
}

/** Takes back what the server has. */
export function terminate(url) {
	return tus.Upload.terminate(url, { retryDelays: [500, 1000], onShouldRetry: mayPass });
}

export class Transfer {
	/** changed() is called whenever there is something new to show. */
	constructor(endpoint, changed) {
		this.endpoint = endpoint;
		this.changed = changed;
		this.state = "waiting";
		this.error = "";
		this.sent = 0;
		/** What the server has is not known yet. */
		this.isAsking = false;
		this.samples = [];
	}

	/** Something that was picked, see pick.js. */
	static async ofFile(picked, endpoint, changed) {
		const transfer = new Transfer(endpoint, changed);
		await transfer.attach(picked);
		return transfer;
	}

	/** What an earlier visit left behind: what keep.js says of it, what
	 * tus-js-client's store says of it, or both. */
	static ofEarlier(record, left, endpoint, changed) {
		const transfer = new Transfer(endpoint, changed);
		transfer.state = "missing";
		transfer.key = record?.key ?? keyOfLeft(left);
		transfer.handle = record?.handle;
		transfer.isKept = Boolean(record);
		transfer.leftover = left;
		transfer.name = record?.name ?? left.metadata?.filename ?? "?";
		transfer.type = record?.type ?? left.metadata?.filetype ?? "";
		transfer.path = record?.path ?? left.metadata?.relativePath ?? "";
		transfer.size = record?.size ?? left.size;
		transfer.url = left?.uploadUrl;
		return transfer;
	}

	/** Two files of one name, size and date in two folders are not the same. */
	static keyOf({ file, path }, endpoint) {
		return ["tus-br", path || file.name, file.type, file.size, file.lastModified,
			endpoint].join("-");
	}

	/** Does this file belong to the upload an earlier visit left behind? */
	fits(file) {
		return this.key === Transfer.keyOf({ file, path: this.path }, this.endpoint);
	}

	async attach({ file, path, handle }) {
		this.file = file;
		this.name = file.name;
		this.type = file.type;
		this.size = file.size;
		this.path = path;
		this.key = Transfer.keyOf({ file, path }, this.endpoint);
		this.upload = new tus.Upload(file, {
			endpoint: this.endpoint,
			metadata: { filename: file.name, filetype: file.type,
				lastModified: String(file.lastModified),
				...(path && { relativePath: path }) },
			fingerprint: async () => this.key,
			chunkSize: largest,
			retryDelays,
			removeFingerprintOnSuccess: true,
			onAfterResponse: checkHead,
			onShouldRetry: (error) => this.shouldRetry(error),
			onProgress: (sent) => this.progress(sent),
			onSuccess: () => this.finish(),
			onError: (error) => this.fail(error),
		});
		const earlier = await this.upload.findPreviousUploads();
		if (earlier.length > 0)
			this.upload.resumeFromPreviousUpload(earlier[0]);
		this.leftover = null;
		this.isAsking = false;
		keep({ key: this.key, endpoint: this.endpoint, file, path, handle });
		this.set("waiting");
	}

	/** Takes the file where it was.  False: the user has not allowed it, and
	 * is only asked where `ask` says so; after a no the file has to be chosen.
	 * Fails if it is another one now. */
	async reopen(ask) {
		const { handle, path } = this;
		const reading = { mode: "read" };
		let allowed = await handle.queryPermission?.(reading) ?? "granted";
		if (allowed === "prompt" && ask)
			allowed = await handle.requestPermission(reading);
		if (allowed === "denied")
			this.handle = null;
		if (allowed !== "granted")
			return false;
		const file = await handle.getFile();
		if (!this.fits(file))
			throw new Error("another file");
		await this.attach({ file, path, handle });
		return true;
	}

	/** Asks the server how far a leftover is; false: it is not there any more. */
	async askOffset() {
		this.isAsking = true;
		const response = await untilAnswered(() => ask(this.url, {
			method: "HEAD",
			headers: { "Tus-Resumable": "1.0.0" },
		}));
		this.isAsking = false;
		if (response.status === 404 || response.status === 410)
			return false;
		if (this.state === "missing") {
			this.sent = Number(response.headers.get("Upload-Offset") || 0);
			this.changed(this);
		}
		return true;
	}

	start() {
		this.samples = [];
		this.error = "";
		this.set("sending");
		this.upload.options.protocol = protocol;
		this.upload.start();
	}

	pause() {
		this.upload.abort();
		markPaused(this.key, true);
		this.set("paused");
	}

	/** Back to the end of the queue. */
	queue() {
		markPaused(this.key, false);
		this.set("waiting");
	}

	/** Stops, and takes back what the server has if it lets us. */
	async cancel() {
		this.set("gone");
		await this.upload?.abort();
		const url = this.upload?.url || this.url;
		try {
			if (url)
				await terminate(url);
		} catch {
			// It does not, or is not there: the upload expires by itself.
		}
		await this.forget();
	}

	/** Nothing in the browser points to the upload any more. */
	async forget() {
		await this.forgetUrl();
		await drop(this.key);
	}

	/** The server has nothing of it. */
	async forgetUrl() {
		const store = tus.defaultOptions.urlStorage;
		const entries = this.leftover
			? [this.leftover] : await this.upload?.findPreviousUploads() ?? [];
		for (const entry of entries)
			await store.removeUpload(entry.urlStorageKey);
		this.leftover = null;
		this.url = null;
		this.sent = 0;
	}

	/** From now on in small pieces; false: they are small already. */
	sendLess() {
		if (this.upload.options.chunkSize <= smallest)
			return false;
		this.upload.options.chunkSize = smallest;
		return true;
	}

	shouldRetry(error) {
		const passed = isTooLong(error) ? this.sendLess() : mayPass(error);
		if (!navigator.onLine || !passed)
			return false;
		this.samples = [];
		this.error = describeError(responseOf(error));
		this.set("retrying");
		return true;
	}

	progress(sent) {
		const now = performance.now();
		this.sent = sent;
		this.url = this.upload.url;
		this.samples.push([now, sent]);
		while (this.samples.length > 2 && now - this.samples[0][0] > speedWindow)
			this.samples.shift();
		if (this.state === "retrying")
			this.state = "sending";
		this.changed(this);
	}

	finish() {
		this.url = this.upload.url;
		this.sent = this.size;
		drop(this.key);
		this.set("done");
	}

	fail(error) {
		if (this.state === "paused" || this.state === "gone")
			return;
		this.error = describeError(responseOf(error));
		this.set(navigator.onLine ? "failed" : "offline");
	}

	set(state) {
		this.state = state;
		this.changed(this);
	}

	/** Bytes per second lately; 0 while there is nothing to say. */
	get speed() {
		if (this.state !== "sending" || this.samples.length < 2)
			return 0;
		const [from, first] = this.samples[0];
		const [to, last] = this.samples[this.samples.length - 1];
		return to - from < 300 ? 0 : Math.max(0, (last - first) / (to - from) * 1000);
	}
}

/** "tus::KEY::123", as tus-js-client has it. */
const keyOfLeft = (left) => left.urlStorageKey.replace(/^tus::|::\d+$/g, "");

/** The uploads that an earlier visit began and did not finish, by their keys. */
export async function leftovers(endpoint) {
	const all = await tus.defaultOptions.urlStorage.findAllUploads();
	return new Map(all
		.filter((left) => left.uploadUrl && left.urlStorageKey.includes(`-${endpoint}::`))
		.sort((a, b) => new Date(a.creationTime) - new Date(b.creationTime))
		.map((left) => [keyOfLeft(left), left]));
}
