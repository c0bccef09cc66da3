// The list of what is finished.  The browser remembers it.

import { ask, untilAnswered } from "./again.js";
import { describeError, formatBytes, formatTime, shorten } from "./format.js";
import { load, save } from "./storage.js";
import { drawText } from "./thumb.js";
import { terminate } from "./transfer.js";
import { $, announce, newRow, notice } from "./ui.js";
import { label, say } from "./words.js";

const key = "tusfcgi.done";
const most = 100;
const asked = 20;

let finished = load(key, []);
/** @type {Map<object, HTMLElement>} */
const rows = new Map();

/** Newest first.  Rows that stay are not touched, nor is the focus in them. */
function show() {
	for (const [one, row] of rows)
		if (!finished.includes(one)) {
			row.remove();
			rows.delete(one);
		}
	for (const one of [...finished].reverse())
		if (!rows.has(one)) {
			rows.set(one, makeRow(one));
			$("done-list").prepend(rows.get(one));
		}
	for (const [one, row] of rows) {
		row.querySelector(".download").hidden = !one.download;
		row.querySelector(".copy").hidden = !one.download || !navigator.clipboard;
	}
	$("done").hidden = finished.length === 0;
}

function remember() {
	save(key, finished);
	show();
}

function makeRow(one) {
	const row = newRow("done-item", one);
	const link = row.querySelector(".download");
	const copy = row.querySelector(".copy");
	const remove = row.querySelector(".remove");
	const { name } = one;

	row.querySelector(".state").textContent =
		`${formatBytes(one.size)} · ${formatTime(one.time)}`;
	link.href = one.url;
	link.download = name;
	label(link, say("download"), say("download-file", { name }));
	label(copy, say("copy-link"), say("copy-link-file", { name }));
	copy.addEventListener("click", () => copyLink(copy, one));
	label(remove, say("delete"), say("delete-file", { name }));
	remove.addEventListener("click", () => removeFinished(one));
	if (one.thumb)
		drawText(one.thumb, row.querySelector(".kind"));
	return row;
}

export function addFinished({ name, type, path, size, url, thumb }) {
	const one = { name, type, path, size, url, thumb, time: Date.now() };
	finished = [one, ...finished].slice(0, most);
	remember();
	announce(say("said-uploaded", { name }));
	learnDownload(one);
}

/** Until the server has said so, there is no link. */
async function learnDownload(one) {
	one.download = await untilAnswered(() => canDownload(one.url));
	remember();
}

/** One byte tells; a server that sends all of it is stopped. */
async function canDownload(url) {
	const stop = new AbortController();
	try {
		const response = await ask(url, {
			headers: { Range: "bytes=0-0" }, signal: stop.signal });
		return response.ok || response.status === 416;
	} finally {
		stop.abort();
	}
}

async function copyLink(button, one) {
	const icon = button.querySelector("use");
	try {
		await navigator.clipboard.writeText(one.url);
	} catch {
		notice(say("no-clipboard"));
		return;
	}
	announce(say("said-copied"));
	icon.setAttribute("href", "#i-check");
	setTimeout(() => icon.setAttribute("href", "#i-link"), 1500);
}

async function removeFinished(one) {
	const { name } = one;
	if (!confirm(say("ask-delete", { name: shorten(name) })))
		return;
	try {
		await terminate(one.url);
	} catch (error) {
		const response = error.originalResponse;
		if (![404, 410].includes(response?.getStatus())) {
			notice(say("no-delete", { name: shorten(name), error: describeError(response) }));
			return;
		}
	}
	finished = finished.filter((other) => other !== one);
	remember();
	announce(say("said-deleted", { name }));
	$("files").focus();
}

/** Others may have removed them meanwhile. */
async function dropDeleted() {
	const exists = async (one) => {
		try {
			const response = await fetch(one.url, {
				method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } });
			return response.status !== 404 && response.status !== 410;
		} catch {
			return true;
		}
	};
	const latest = finished.slice(0, asked);
	const there = await Promise.all(latest.map(exists));
	const gone = new Set(latest.filter((_, i) => !there[i]));
	if (gone.size > 0) {
		finished = finished.filter((one) => !gone.has(one));
		remember();
	}
	latest.filter((one) => !gone.has(one) && !one.download).forEach(learnDownload);
}

export function startFinished() {
	$("clear").addEventListener("click", () => {
		finished = [];
		remember();
		$("files").focus();
	});
	show();
	dropDeleted();
}
