// The upload page: what is seen and clicked.  transfer.js moves the bytes.

import { ask, untilAnswered } from "./again.js";
import { extensionOf, formatBytes, formatDuration, formatLimit, kindOf, percentOf }
	from "./format.js";
import { load, save } from "./storage.js";
import { Transfer, leftovers, terminate } from "./transfer.js";

const atOnce = 3;
const doneKey = "tusfcgi.done";
const doneMax = 100;

const $ = (id) => document.getElementById(id);
const endpoint = new URL(
	document.querySelector("meta[name=tus-endpoint]").content, location.href).href;

/** @type {Transfer[]} in the order of the list */
let transfers = [];
/** @type {Map<Transfer, HTMLElement>} */
const rows = new Map();
let finished = load(doneKey, []);
let maxSize = 0;

// --- Words -----------------------------------------------------------------

function stateText(t) {
	const part = `${formatBytes(t.sent)} of ${formatBytes(t.size)}`;

	switch (t.state) {
	case "waiting":
		return `${formatBytes(t.size)}, waiting for its turn`;
	case "sending":
		return [part, ...pace(t.speed, t.size - t.sent)].join(" · ");
	case "paused":
		return `Paused at ${part}`;
	case "retrying":
		return `${t.error} Trying again…`;
	case "offline":
		return "You are offline. It goes on by itself.";
	case "failed":
		return t.error;
	case "missing":
		return t.isAsking ? `${formatBytes(t.size)}, waiting for the server`
			: `${part} on the server`;
	default:
		return "";
	}
}

function pace(speed, rest) {
	if (!speed)
		return [];
	return [`${formatBytes(speed)}/s`, `${formatDuration(rest / speed)} left`];
}

/** For those who do not see the page; said when it is worth a word. */
function announce(text) {
	$("status").textContent = text;
}

/** What is wrong, until it is dismissed; `about` is for withdraw(). */
function notice(text, about = "") {
	$("notice-text").textContent = text;
	$("notice").dataset.about = about;
	$("notice").hidden = !text;
}

function withdraw(about) {
	if ($("notice").dataset.about === about)
		notice("");
}

function dismiss() {
	notice("");
	$("files").focus();
}

// --- The list of what is on its way ----------------------------------------

function makeRow(t) {
	const row = $("current-item").content.cloneNode(true).firstElementChild;
	const on = (name, label, action) => {
		const button = row.querySelector(`.${name}`);
		button.setAttribute("aria-label", `${label} ${t.name}`);
		button.title = label;
		button.addEventListener("click", action);
	};

	fillBadge(row, t);
	on("pause", "Pause", () => keepFocus(t, "resume", () => t.pause()));
	on("resume", "Resume", () => keepFocus(t, "pause", () => t.queue()));
	on("retry", "Try again", () => keepFocus(t, "pause", () => t.queue()));
	on("cancel", "Cancel", () => cancel(t));
	row.querySelector(".bar").setAttribute("aria-label", `Progress of ${t.name}`);
	const choose = row.querySelector(".choose input");
	choose.setAttribute("aria-label", `Choose ${t.name} again`);
	choose.addEventListener("change", () => {
		chooseAgain(t, choose.files[0]);
		choose.value = "";
	});
	return row;
}

function fillBadge(row, { name, type }) {
	const kind = row.querySelector(".kind");
	kind.textContent = extensionOf(name);
	kind.dataset.kind = kindOf(name, type);
	row.querySelector(".name").textContent = name;
	row.querySelector(".name").title = name;
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
	bar.setAttribute("aria-valuenow", percent);
	bar.firstElementChild.style.width = `${t.size ? t.sent / t.size * 100 : 0}%`;
	row.querySelector(".state").textContent = stateText(t);
	row.querySelector(".percent").textContent =
		knowsProgress(t) ? `${percent} %` : "";
}

function showSummary() {
	const moving = transfers.filter(isOnItsWay);
	const size = moving.reduce((sum, t) => sum + t.size, 0);
	const sent = moving.reduce((sum, t) => sum + t.sent, 0);
	const speed = moving.reduce((sum, t) => sum + t.speed, 0);
	const running = transfers.some((t) => isRunning(t));
	const stopped = transfers.some((t) => t.state === "paused");

	$("current").hidden = transfers.length === 0;
	$("current-title").textContent = moving.length ? "In progress" : "Not finished yet";
	$("explain").hidden = !transfers.some((t) => t.state === "missing");
	$("summary").textContent = moving.length < 2 ? ""
		: [`${percentOf(sent, size)} % of ${formatBytes(size)}`,
			...pace(speed, size - sent)].join(" · ");
	$("all").hidden = moving.length < 2 || !(running || stopped);
	$("all").textContent = running ? "Pause all" : "Resume all";
	document.title = moving.length ? `${percentOf(sent, size)} % · Uploads` : "Uploads";
}

/** After a failure nobody knows how much arrived, until the server is asked. */
const knowsProgress = (t) =>
	t.state !== "retrying" && (t.state !== "waiting" || t.sent) && !t.isAsking;
const isOnItsWay = (t) => t.state !== "missing" && t.state !== "failed";
const isRunning = (t) => ["waiting", "sending", "retrying", "offline"].includes(t.state);

/** Leaving the page stops it, or forgets that it was to be uploaded. */
const wouldBeLost = (t) => isRunning(t) || t.state === "paused";

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
	showRow(t);
	changed(t);
}

function dropRow(t) {
	rows.get(t)?.remove();
	rows.delete(t);
	transfers = transfers.filter((other) => other !== t);
	showSummary();
}

async function cancel(t) {
	const much = t.sent > 50e6;
	if (much && !confirm(`Cancel ${t.name}? What is on the server is removed.`))
		return;
	dropRow(t);
	$("files").focus();
	announce(`${t.name} cancelled`);
	await t.cancel();
	startNext();
}

// --- New files -------------------------------------------------------------

async function addFiles(files) {
	const refused = [];

	notice("");
	for (const file of files) {
		const why = await addFile(file);
		if (why)
			refused.push(`${file.name} ${why}.`);
	}
	notice(refused.join(" "));
}

/** Returns why not, or nothing. */
async function addFile(file) {
	if (maxSize && file.size > maxSize)
		return `is larger than ${formatLimit(maxSize)}, which this server allows`;
	for (const t of transfers)
		if (t.state === "missing" && await t.fits(file))
			return await t.attach(file);
	const print = await Transfer.fingerprint(file, endpoint);
	if (transfers.some((t) => t.fingerprint === print))
		return "is in the list already";
	addRow(await Transfer.ofFile(file, endpoint, changed));
	return undefined;
}

async function chooseAgain(t, file) {
	if (!file)
		return;
	if (await t.fits(file)) {
		notice("");
		await t.attach(file);
		rows.get(t).querySelector(".cancel").focus();
	} else {
		notice(`${file.name} is not the file that was begun: another name, size or ` +
			"date. Drop it above to upload it anew.");
	}
}

/** A folder among what was dropped cannot be read as a file. */
function droppedFiles(data) {
	const entries = [...data.items]
		.filter((item) => item.kind === "file")
		.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
	const files = entries.filter(([entry]) => !entry?.isDirectory).map(([, file]) => file);
	return { files, folders: entries.length - files.length };
}

function watchDrops() {
	let depth = 0;
	const over = (on) => document.body.classList.toggle("dragging", on);

	addEventListener("dragenter", () => over(++depth > 0));
	addEventListener("dragleave", () => over(--depth > 0));
	addEventListener("dragover", (event) => event.preventDefault());
	addEventListener("drop", async (event) => {
		event.preventDefault();
		over((depth = 0) > 0);
		const { files, folders } = droppedFiles(event.dataTransfer);
		await addFiles(files);
		if (folders)
			notice("Folders cannot be uploaded: open the folder and drop its files.");
	});
}

// --- Finished --------------------------------------------------------------

async function moveToFinished(t) {
	const had = rows.get(t).contains(document.activeElement);
	dropRow(t);
	const one = { name: t.name, type: t.type, size: t.size, url: t.url, time: Date.now() };
	finished = [one, ...finished].slice(0, doneMax);
	save(doneKey, finished);
	announce(`${t.name} is uploaded`);
	showFinished();
	if (had)
		$("files").focus();
	await learnDownload(one);
}

async function learnDownload(one) {
	one.download = await untilAnswered(() => canDownload(one.url));
	save(doneKey, finished);
	showFinished();
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

function showFinished() {
	$("done").hidden = finished.length === 0;
	$("done-list").replaceChildren(...finished.map(doneRow));
}

function doneRow(one) {
	const row = $("done-item").content.cloneNode(true).firstElementChild;
	const link = row.querySelector(".download");
	const copy = row.querySelector(".copy");
	const remove = row.querySelector(".remove");

	fillBadge(row, one);
	row.querySelector(".state").textContent =
		`${formatBytes(one.size)} · ${when(one.time)}`;
	link.href = one.url;
	link.download = one.name;
	link.hidden = !one.download;
	link.title = "Download";
	link.setAttribute("aria-label", `Download ${one.name}`);
	copy.title = "Copy link";
	copy.setAttribute("aria-label", `Copy the link to ${one.name}`);
	copy.hidden = !one.download || !navigator.clipboard;
	copy.addEventListener("click", () => copyLink(copy, one));
	remove.title = "Delete from the server";
	remove.setAttribute("aria-label", `Delete ${one.name} from the server`);
	remove.addEventListener("click", () => removeFinished(one));
	return row;
}

function when(time) {
	const date = new Date(time);
	const today = date.toDateString() === new Date().toDateString();
	return date.toLocaleString([], today
		? { hour: "2-digit", minute: "2-digit" }
		: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

async function copyLink(button, one) {
	const icon = button.querySelector("use");
	try {
		await navigator.clipboard.writeText(one.url);
	} catch {
		notice("The browser does not allow to copy the link.");
		return;
	}
	announce("Link copied");
	icon.setAttribute("href", "#i-check");
	setTimeout(() => icon.setAttribute("href", "#i-link"), 1500);
}

async function removeFinished(one) {
	if (!confirm(`Delete ${one.name} from the server?`))
		return;
	try {
		await terminate(one.url);
	} catch (error) {
		const status = error.originalResponse?.getStatus();
		if (status !== 404 && status !== 410) {
			notice(`${one.name} could not be deleted: the server ` +
				(status ? `answered ${status}.` : "cannot be reached."));
			return;
		}
	}
	finished = finished.filter((other) => other !== one);
	save(doneKey, finished);
	showFinished();
	announce(`${one.name} deleted`);
	$("files").focus();
}

/** Somebody else may have removed them meanwhile. */
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
	const there = await Promise.all(finished.slice(0, 20).map(exists));
	const gone = new Set(finished.filter((_, i) => there[i] === false));
	if (gone.size > 0) {
		finished = finished.filter((one) => !gone.has(one));
		save(doneKey, finished);
		showFinished();
	}
	finished.filter((one) => !one.download).slice(0, 20).forEach(learnDownload);
}

// --- At the start ----------------------------------------------------------

/** What the server says of itself, as soon as it is there. */
async function askServer() {
	const response = await untilAnswered(
		() => ask(endpoint, { method: "OPTIONS" }),
		() => notice("The server cannot be reached at the moment. " +
			"The page goes on asking.", "server"));
	const extensions = response.headers.get("Tus-Extension") || "";

	withdraw("server");
	if (!response.headers.get("Tus-Version")) {
		notice(`There is no tus server at ${endpoint} (answered ${response.status}).`);
		return;
	}
	maxSize = Number(response.headers.get("Tus-Max-Size") || 0);
	document.body.classList.toggle("no-delete", !extensions.includes("termination"));
	if (maxSize)
		$("drop-hint").textContent = `Up to ${formatLimit(maxSize)} a file. If the ` +
			"connection breaks, the upload goes on where it stopped.";
	$("server").textContent = `tus ${response.headers.get("Tus-Version")} at ${endpoint}`;
}

async function showLeftovers() {
	for (const t of await leftovers(endpoint, changed)) {
		addRow(t);
		t.askOffset().then(async (there) => {
			if (there || t.state !== "missing")
				return;
			await t.forget();
			dropRow(t);
		});
	}
}

function pauseOrResumeAll() {
	const running = transfers.filter(isRunning);
	if (running.length > 0)
		running.forEach((t) => t.pause());
	else
		transfers.filter((t) => t.state === "paused").forEach((t) => t.queue());
}

$("files").addEventListener("change", async () => {
	const files = [...$("files").files];
	$("files").value = "";
	await addFiles(files);
});
$("all").addEventListener("click", pauseOrResumeAll);
$("clear").addEventListener("click", () => {
	finished = [];
	save(doneKey, finished);
	showFinished();
	$("files").focus();
});
addEventListener("online", () =>
	transfers.filter((t) => t.state === "offline").forEach((t) => t.queue()));
$("dismiss").addEventListener("click", dismiss);
addEventListener("keydown", (event) => {
	if (event.key === "Escape" && !$("notice").hidden)
		dismiss();
});
// The browser asks whether to leave.
addEventListener("beforeunload", (event) => {
	if (transfers.some(wouldBeLost))
		event.preventDefault();
});
// Speed and rest go stale while nothing moves.
setInterval(() => transfers.filter((t) => t.state === "sending").forEach(changed), 1000);

watchDrops();
showFinished();
askServer();
showLeftovers();
dropDeleted();
