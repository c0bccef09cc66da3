// The upload page: what is picked, and the list of what is on its way.  done.js
// has the list of what is finished, transfer.js moves the bytes.

/* global settings */

import { ask, untilAnswered } from "./again.js";
import { addFinished, startFinished } from "./done.js";
import { formatBytes, formatDuration, formatLimit, percentOf, shorten } from "./format.js";
import { knowsOthers, takeOver } from "./keep.js";
import { canPick, fromDrop, fromInput, fromPaste, fromPicker } from "./pick.js";
import { drawFile } from "./thumb.js";
import { Transfer, leftovers, speakNewer } from "./transfer.js";
import { $, announce, dismiss, newRow, notice, withdraw } from "./ui.js";
import { label, language, say, translate } from "./words.js";

const atOnce = 3;
const title = settings.title || say("title");
const endpoint = new URL(
	document.querySelector("meta[name=tus-endpoint]").content, location.href).href;

/** @type {Transfer[]} in the order of the list */
let transfers = [];
/** @type {Map<Transfer, HTMLElement>} */
const rows = new Map();
let maxSize = 0;

// --- Words -----------------------------------------------------------------

function stateText(t) {
	const size = formatBytes(t.size);
	const part = say("part", { sent: formatBytes(t.sent), size });

	switch (t.state) {
	case "sending":
		return [part, ...pace(t.speed, t.size - t.sent)].join(" · ");
	case "failed":
		return t.error;
	case "missing":
		return t.isAsking ? say("asking", { size })
			: t.url ? say("missing", { part }) : say("missing-new", { size });
	default:
		return say(t.state, { size, part, error: t.error });
	}
}

function pace(speed, rest) {
	if (!speed)
		return [];
	return [say("speed", { size: formatBytes(speed) }),
		say("left", { time: formatDuration(rest / speed) })];
}

// --- The list of what is on its way ----------------------------------------

function makeRow(t) {
	const row = newRow("current-item", t);
	const { name } = t;
	const on = (what, action) => {
		const button = row.querySelector(`.${what}`);
		label(button, say(what), say(`${what}-file`, { name }));
		button.addEventListener("click", action);
	};

	on("pause", () => keepFocus(t, "resume", () => t.pause()));
	on("resume", () => t.state === "missing" ? reopen(t)
		: keepFocus(t, "pause", () => t.queue()));
	on("retry", () => keepFocus(t, "pause", () => t.queue()));
	on("cancel", () => cancel(t));
	row.querySelector(".bar").setAttribute("aria-label", say("progress-file", { name }));
	const choose = row.querySelector(".choose input");
	choose.setAttribute("aria-label", say("choose-again-file", { name }));
	choose.addEventListener("change", () => {
		for (const picked of fromInput(choose))
			chooseAgain(t, picked);
	});
	translate(row);
	return row;
}

/** The button that was pressed goes away: its opposite takes the focus. */
function keepFocus(t, next, action) {
	action();
	showRow(t);
	rows.get(t).querySelector(`.${next}`).focus();
}

function showRow(t) {
	const row = rows.get(t);
	const percent = percentOf(t.sent, t.size);
	const bar = row.querySelector(".bar");

	if (row.dataset.state !== t.state)
		row.dataset.state = t.state;
	row.classList.toggle("near", Boolean(t.handle));
	bar.setAttribute("aria-valuenow", percent);
	bar.firstElementChild.style.width = `${t.size ? t.sent / t.size * 100 : 0}%`;
	row.querySelector(".state").textContent = stateText(t);
	row.querySelector(".percent").textContent =
		knowsProgress(t) ? say("percent", { percent }) : "";
}

function showSummary() {
	const moving = transfers.filter(isOnItsWay);
	const size = moving.reduce((sum, t) => sum + t.size, 0);
	const sent = moving.reduce((sum, t) => sum + t.sent, 0);
	const speed = moving.reduce((sum, t) => sum + t.speed, 0);
	const running = transfers.some((t) => isRunning(t));
	const stopped = transfers.some((t) => t.state === "paused");
	const percent = say("percent", { percent: percentOf(sent, size) });

	$("current").hidden = transfers.length === 0;
	$("current-title").textContent = say(moving.length ? "in-progress" : "not-finished");
	$("explain").hidden = !transfers.some((t) => t.state === "missing" && !t.handle);
	$("summary").textContent = moving.length < 2 ? ""
		: [say("summary", { percent, size: formatBytes(size) }),
			...pace(speed, size - sent)].join(" · ");
	$("all").hidden = moving.length < 2 || !(running || stopped);
	$("all").textContent = say(running ? "pause-all" : "resume-all");
	document.title = moving.length ? `${percent} · ${title}` : title;
}

/** After a failure nobody knows how much arrived, until the server is asked. */
const knowsProgress = (t) =>
	t.state !== "retrying" && (t.state !== "waiting" || t.sent) && !t.isAsking &&
	(t.state !== "missing" || t.url);
const isOnItsWay = (t) => t.state !== "missing" && t.state !== "failed";
const isRunning = (t) => ["waiting", "sending", "retrying", "offline"].includes(t.state);

/** Progress comes in bursts: paint once a frame at most. */
const dirty = new Set();
function changed(t) {
	if (t.state === "done" && rows.has(t))
		moveToFinished(t);
	if (t.state === "failed")
		announce(`${t.name}: ${t.error}`);
	if (dirty.size === 0)
		setTimeout(paint, 50);
	dirty.add(t);
}

function paint() {
	for (const t of dirty)
		if (rows.has(t))
			showRow(t);
	dirty.clear();
	startNext();
	showSummary();
}

function startNext() {
	const busy = transfers.filter((t) => t.state === "sending" || t.state === "retrying");
	const next = transfers.filter((t) => t.state === "waiting");

	for (const t of next.slice(0, Math.max(0, atOnce - busy.length)))
		t.start();
}

function addRow(t) {
	const row = makeRow(t);
	rows.set(t, row);
	transfers.push(t);
	$("current-list").append(row);
	showThumb(t);
	showRow(t);
	changed(t);
}

function showThumb(t) {
	if (t.file)
		t.thumb = drawFile(t.file, rows.get(t).querySelector(".kind"));
}

function dropRow(t) {
	rows.get(t)?.remove();
	rows.delete(t);
	transfers = transfers.filter((other) => other !== t);
	showSummary();
}

async function moveToFinished(t) {
	const had = rows.get(t).contains(document.activeElement);
	dropRow(t);
	if (had)
		$("files").focus();
	const thumb = await t.thumb;
	addFinished({ name: t.name, type: t.type, path: t.path, size: t.size, url: t.url,
		...(thumb && { thumb }) });
}

async function cancel(t) {
	const { name } = t;
	const much = t.sent > 50e6;
	if (much && !confirm(say("ask-cancel", { name: shorten(name) })))
		return;
	dropRow(t);
	$("files").focus();
	announce(say("said-cancelled", { name }));
	await t.cancel();
	startNext();
}

// --- New files -------------------------------------------------------------

const reasonsShown = 3;

/** @param picked  of pick.js, one after another */
async function addFiles(picked) {
	const refused = [];

	notice("");
	for await (const one of picked) {
		const why = one.file ? await addFile(one) : "unreadable";
		if (why)
			refused.push(say(why, { name: shorten(one.name ?? one.file.name),
				limit: formatLimit(maxSize) }));
	}
	const more = refused.length - reasonsShown;
	notice([...refused.slice(0, reasonsShown),
		...(more > 0 ? [say("and-more", { count: more })] : [])].join(" "));
}

/** Returns why not, or nothing. */
async function addFile(picked) {
	if (maxSize && picked.file.size > maxSize)
		return "too-large";
	const key = Transfer.keyOf(picked, endpoint);
	const there = transfers.find((t) => t.key === key);
	if (there?.state === "missing")
		await begin(there, () => there.attach(picked));
	else if (there)
		return "twice";
	else
		addRow(await Transfer.ofFile(picked, endpoint, changed));
	return "";
}

/** The file of an earlier visit is here again. */
async function begin(t, action) {
	const result = await action();
	if (result !== false)
		showThumb(t);
	return result;
}

async function chooseAgain(t, { file, handle }) {
	if (t.fits(file)) {
		notice("");
		await begin(t, () => t.attach({ file, path: t.path, handle }));
		rows.get(t).querySelector(".cancel").focus();
	} else {
		notice(say("another-file", { name: shorten(file.name) }));
	}
}

/** The browser asks the user; what is allowed for one may be for others. */
async function reopen(t) {
	notice("");
	for (const one of [t, ...transfers.filter((other) => other !== t && isNear(other))])
		await wake(one, one === t);
	if (!rows.has(t))
		return;
	showRow(t);
	showSummary();
	rows.get(t).querySelector(t.state !== "missing" ? ".cancel"
		: t.handle ? ".resume" : ".choose input").focus();
}

const isNear = (t) => t.state === "missing" && t.handle;

/** Reads the file where it was, if that may be done. */
async function wake(t, mayAsk) {
	try {
		return await begin(t, () => t.reopen(mayAsk));
	} catch {
		t.handle = null;
		changed(t);
		notice(say("file-gone", { name: shorten(t.name) }));
		return false;
	}
}

function watchDrops() {
	let depth = 0;
	const over = (on) => document.body.classList.toggle("dragging", on);

	addEventListener("dragenter", () => over(++depth > 0));
	addEventListener("dragleave", () => over(--depth > 0));
	addEventListener("dragover", (event) => event.preventDefault());
	addEventListener("drop", (event) => {
		event.preventDefault();
		over((depth = 0) > 0);
		addFiles(fromDrop(event.dataTransfer));
	});
	addEventListener("paste", (event) => {
		const picked = fromPaste(event.clipboardData);
		if (picked.length > 0)
			addFiles(picked);
	});
}

/** With handles where the browser has them, else as ever. */
async function pickFiles(event) {
	event.preventDefault();
	try {
		await addFiles(fromPicker());
	} catch (error) {
		// The user has changed his mind, or it is forbidden in a frame.
		if (error.name === "AbortError")
			return;
		$("files").removeEventListener("click", pickFiles);
		$("files").click();
	}
}

function watchInputs() {
	if (canPick)
		$("files").addEventListener("click", pickFiles);
	for (const input of [$("files"), $("folder")])
		input.addEventListener("change", () => addFiles(fromInput(input)));
	$("folder-label").hidden = !("webkitdirectory" in $("folder"));
	$("drop").addEventListener("click", (event) => {
		if (!event.target.closest("label"))
			$("files").click();
	});
}

// --- At the start ----------------------------------------------------------

/** What the server says of itself, as soon as it is there. */
async function askServer() {
	const response = await untilAnswered(
		() => ask(endpoint, { method: "OPTIONS" }),
		() => notice(say("server-away"), "server"));
	const version = response.headers.get("Tus-Version");
	const extensions = response.headers.get("Tus-Extension") || "";

	withdraw("server");
	if (!version) {
		notice(say("no-server", { url: endpoint, status: response.status }));
		return;
	}
	// Only a server that speaks it names its limits in OPTIONS.
	const isNewer = response.headers.has("Upload-Limit");
	if (isNewer)
		speakNewer();
	maxSize = Number(response.headers.get("Tus-Max-Size") || 0);
	document.body.classList.toggle("no-delete", !extensions.includes("termination"));
	if (maxSize)
		$("drop-hint").textContent = say("drop-hint-limit", { limit: formatLimit(maxSize) });
	$("server").textContent = isNewer
		? say("server-newer", { version, url: endpoint })
		: say("server", { version, url: endpoint });
}

/** What earlier visits left, unless another page is about to do it. */
async function showLeftovers() {
	const [{ ours, others }, lefts] = await Promise.all([
		takeOver(endpoint), leftovers(endpoint)]);

	for (const record of ours) {
		const left = lefts.get(record.key);
		lefts.delete(record.key);
		await showLeftover(Transfer.ofEarlier(record, left, endpoint, changed), record);
	}
	for (const [key, left] of lefts)
		if (!others.has(key) && !transfers.some((t) => t.key === key))
			await showLeftover(Transfer.ofEarlier(null, left, endpoint, changed), {});
}

/** It goes on by itself if its file is at hand and nobody has paused it. */
async function showLeftover(t, { file, paused }) {
	if (transfers.some((other) => other.key === t.key))
		return;
	addRow(t);
	if (t.url)
		learnOffset(t);
	if (file)
		await begin(t, () => t.attach({ file, path: t.path }));
	else if (t.handle)
		await wake(t, false);
	if (t.state !== "missing" && (paused || !knowsOthers))
		t.pause();
}

async function learnOffset(t) {
	if (await t.askOffset() || t.state !== "missing")
		return;
	const isKept = t.isKept;
	await t.forgetUrl();
	if (isKept)
		changed(t);
	else
		dropRow(t);
}

function pauseOrResumeAll() {
	const running = transfers.filter(isRunning);
	if (running.length > 0)
		running.forEach((t) => t.pause());
	else
		transfers.filter((t) => t.state === "paused").forEach((t) => t.queue());
}

function dress() {
	document.documentElement.lang = language;
	translate(document);
	$("title").textContent = title;
	document.title = title;
	$("logo").src = settings.logo;
	document.querySelector("link[rel=icon]").href = settings.logo;
}

$("all").addEventListener("click", pauseOrResumeAll);
addEventListener("online", () =>
	transfers.filter((t) => t.state === "offline").forEach((t) => t.queue()));
$("dismiss").addEventListener("click", dismiss);
addEventListener("keydown", (event) => {
	if (event.key === "Escape" && !$("notice").hidden)
		dismiss();
});
// The browser asks whether to leave: what is under way stops.
addEventListener("beforeunload", (event) => {
	if (transfers.some(isRunning))
		event.preventDefault();
});
// Speed and rest go stale while nothing moves.
setInterval(() => transfers.filter((t) => t.state === "sending").forEach(changed), 1000);

dress();
watchDrops();
watchInputs();
startFinished();
askServer();
showLeftovers();
