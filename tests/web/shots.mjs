// Takes pictures of the upload page in every state:  node shots.mjs SCENE JOB
//
// Nothing moves by itself: the clock stands still, tus-js-client is a stand-in
// that does what it is told, and the server's answers are made here.  JOB is as
// in page.mjs; shots is where the pictures go, and like, where there is one, a
// folder with what they are to look like.  The result has for each picture the
// part of its pixels that differ, and the texts that are hard to read.

import fs from "node:fs";
import { open, play, shot } from "./browser.mjs";

const noon = new Date("2026-11-30T12:00:00Z");
const widths = [360, 768, 1280];
const themes = ["light", "dark"];
const sizes = { KB: 1024, MB: 1024 * 1024 };

/** In place of tus.min.js. */
const standIn = `
window.uploads = [];
class Upload {
	constructor(file, options) {
		Object.assign(this, { file, options, url: location.origin + "/files/" + file.name });
	}
	async findPreviousUploads() { return []; }
	start() { window.uploads.push(this); }
	async abort() {}
}
window.tus = { Upload, defaultOptions: { urlStorage: {
	findAllUploads: async () => JSON.parse(localStorage.left ?? "[]"),
	removeUpload: async () => {},
} } };
Object.defineProperty(window, "indexedDB", { value: {} });
Object.defineProperty(navigator, "onLine", { get: () => !window.isOffline });
`;

const tus = { "Tus-Version": "1.0.0", "Tus-Resumable": "1.0.0",
	"Tus-Extension": "creation,termination", "Tus-Max-Size": String(4096 * sizes.MB) };

function answer(route) {
	const request = route.request();
	const url = request.url();

	if (request.method() === "OPTIONS")
		return route.fulfill({ status: 204, headers: tus });
	if (request.method() === "HEAD")
		return route.fulfill(url.includes("away") ? { status: 503 }
			: { status: 200, headers: { ...tus, "Upload-Offset": String(610 * sizes.MB) } });
	return route.fulfill({ status: url.includes("private") ? 403 : 206, body: "x" });
}

/** Files as the user would choose them: [name, type, size, folder]. */
function choose(page, ...files) {
	return page.evaluate(async (files) => {
		const chosen = [];
		const paint = async () => {
			const canvas = new OffscreenCanvas(240, 160);
			const context = canvas.getContext("2d");
			for (const [colour, top] of [["#7db7e8", 0], ["#e8a05a", 80], ["#3a6b4c", 105]]) {
				context.fillStyle = colour;
				context.fillRect(0, top, 240, 160);
			}
			return canvas.convertToBlob();
		};
		for (const [name, type, size, folder] of files) {
			const bytes = type === "image/png" ? await paint() : new Uint8Array(64);
			const file = new File([bytes], name, { type, lastModified: 1e12 });
			Object.defineProperty(file, "size", { value: size });
			if (folder)
				Object.defineProperty(file, "webkitRelativePath", { value: `${folder}/${name}` });
			chosen.push(file);
		}
		const input = document.getElementById("files");
		Object.defineProperty(input, "files", { value: chosen, configurable: true });
		input.dispatchEvent(new Event("change"));
		delete input.files;
	}, files);
}

/** What tus-js-client would say. */
function tell(page, name, callback, ...values) {
	return page.evaluate(([name, callback, values]) => {
		const upload = window.uploads.find((one) => one.file.name === name);
		upload.options[callback](...values.map((value) => value?.status
			? { originalResponse: { getStatus: () => value.status, getBody: () => "",
				getHeader: () => "1.0.0" } } : value));
	}, [name, callback, values]);
}

/** Until what waits for a timer is painted. */
async function settle(page) {
	for (let n = 0; n < 5; n++) {
		await page.clock.runFor(200);
		await page.evaluate(() => fetch("icon.svg"));
	}
}

const row = (page, name) => page.locator("#current-list > li",
	{ has: page.locator(`.file:text-is("${name}")`) });
const state = (page, name, is) => page.waitForFunction(([name, is]) =>
	[...document.querySelectorAll("#current-list > li")].some((e) =>
		e.querySelector(".file").textContent === name && e.dataset.state === is), [name, is]);

const long = `Protocol of the meeting of ${"all-the-departments-".repeat(9)}.pdf`;

const pictures = {
	async empty() {},

	async dragging(page) {
		await page.evaluate(() => document.body.classList.add("dragging"));
	},

	async finished(page) {
		await choose(page, ["sunset.png", "image/png", 3 * sizes.MB, "Holiday/2026/Norway"],
			[long, "application/pdf", 12 * sizes.MB], ["private.zip", "application/zip", 5000]);
		for (const name of ["sunset.png", long, "private.zip"]) {
			await settle(page);
			await tell(page, name, "onSuccess");
			await settle(page);
		}
		await page.waitForFunction(() => document.querySelectorAll(
			"#done-list .download:not([hidden])").length === 2);
		await page.waitForSelector("#done-list canvas");
	},

	/** Every state that a row can have. */
	async working(page) {
		await page.evaluate((MB) => {
			const left = (name, size) => ({ urlStorageKey: `tus::tus-br-${name}-` +
				`${location.origin}/files/::1`, uploadUrl: `${location.origin}/files/${name}`,
				size: size * MB, metadata: { filename: name }, creationTime: "2026-11-29" });
			localStorage.left = JSON.stringify([left("begun-yesterday.mov", 1400),
				left("away.iso", 700)]);
		}, sizes.MB);
		await page.reload();
		await state(page, "away.iso", "missing");
		const files = [["Lake at dawn.mov", "video/mp4", 812 * sizes.MB],
			["sunset.png", "image/png", 3 * sizes.MB, "Holiday/2026/Norway"],
			["paused.flac", "audio/flac", 48 * sizes.MB],
			["refused.zip", "application/zip", 90 * sizes.MB],
			["offline.tar.gz", "application/gzip", 2 * sizes.MB],
			["retrying.odt", "", 640 * sizes.KB],
			[long, "application/pdf", 12 * sizes.MB],
			["no extension", "", 999]];
		await choose(page, ...files);
		await state(page, "no extension", "waiting");
		await settle(page);
		for (const [name, part] of [["Lake at dawn.mov", 0.42], ["sunset.png", 0.3],
			["paused.flac", 0.61]]) {
			const size = files.find((file) => file[0] === name)[2];
			await tell(page, name, "onProgress", Math.round(part * size * 0.95));
			await page.clock.runFor(1000);
			await tell(page, name, "onProgress", Math.round(part * size));
		}
		await row(page, "paused.flac").locator(".pause").click();
		await settle(page);
		await tell(page, "refused.zip", "onError", { status: 413 });
		await settle(page);
		await page.evaluate(() => { window.isOffline = true; });
		await tell(page, "offline.tar.gz", "onError", {});
		await page.evaluate(() => { window.isOffline = false; });
		await settle(page);
		await tell(page, "retrying.odt", "onShouldRetry", { status: 503 });
		await page.evaluate(() => document.activeElement.blur());
		await page.mouse.move(0, 0);
		await settle(page);
	},

	/** What README shows. */
	async readme(page) {
		await choose(page, ["IMG_2041.jpg", "image/png", 5.4 * sizes.MB, "Norway/day 1"],
			["thesis-final-v7.pdf", "application/pdf", 3.2 * sizes.MB]);
		for (const name of ["IMG_2041.jpg", "thesis-final-v7.pdf"]) {
			await settle(page);
			await tell(page, name, "onSuccess");
		}
		await page.waitForFunction(() => document.querySelectorAll(
			"#done-list .download:not([hidden])").length === 2);
		const files = [["Lake at dawn – raw take 03.mov", "video/mp4", 48 * sizes.MB, 0.21],
			["backup-2026-11-22.tar.gz", "application/gzip", 31 * sizes.MB, 0.16],
			["interview.flac", "audio/flac", 22 * sizes.MB, 0.48]];
		await choose(page, ...files.map((file) => file.slice(0, 3)));
		await state(page, "interview.flac", "waiting");
		await settle(page);
		for (const [name, , size, part] of files)
			await tell(page, name, "onProgress", Math.round((part - 0.05) * size));
		await page.clock.runFor(1000);
		for (const [name, , size, part] of files)
			await tell(page, name, "onProgress", Math.round(part * size));
		await row(page, files[1][0]).locator(".pause").click();
		await page.evaluate(() => document.activeElement.blur());
		await page.mouse.move(0, 0);
		await settle(page);
	},

	async notice(page) {
		await choose(page, [long, "", 5000 * sizes.MB], ["small.iso", "", 4097 * sizes.MB]);
		await page.waitForSelector("#notice:not([hidden])");
	},
};

/** Texts whose contrast WCAG 2 (AA) finds too low. */
function faint(page) {
	return page.evaluate(() => {
		const context = new OffscreenCanvas(1, 1).getContext("2d");
		const luminance = (colours) => {
			for (const colour of colours) {
				context.fillStyle = colour;
				context.fillRect(0, 0, 1, 1);
			}
			const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => {
				const part = byte / 255;
				return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
			});
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const behind = (element) => element ? [...behind(element.parentElement),
			getComputedStyle(element).backgroundColor] : ["#fff"];
		const found = [];
		for (const element of document.querySelectorAll("body *")) {
			const text = [...element.childNodes].filter((node) => node.nodeType === 3)
				.map((node) => node.data).join("").trim();
			if (!text || !element.getClientRects().length || element.closest(".hidden, noscript"))
				continue;
			const ground = behind(element);
			const both = [luminance(ground),
				luminance([...ground, getComputedStyle(element).color])];
			const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
			if (contrast < 4.5)
				found.push(`${text}: ${contrast.toFixed(2)}`);
		}
		return found;
	});
}

async function differ(page, like, name) {
	const encode = (folder) => fs.readFileSync(`${folder}/${name}.png`).toString("base64");
	if (!fs.existsSync(`${like}/${name}.png`))
		return 1;
	return page.evaluate(async (both) => {
		const [a, b] = await Promise.all(both.map(async (text) => {
			const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
			const picture = await createImageBitmap(new Blob([bytes]));
			const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
			context.drawImage(picture, 0, 0);
			return context.getImageData(0, 0, picture.width, picture.height);
		}));
		if (a.width !== b.width || a.height !== b.height)
			return 1;
		let count = 0;
		for (let i = 0; i < a.data.length; i += 4)
			if ([0, 1, 2].some((n) => Math.abs(a.data[i + n] - b.data[i + n]) > 40))
				count++;
		return count / (a.data.length / 4);
	}, [encode(like), encode(job.shots)]);
}

const job = JSON.parse(process.argv[3]);

async function start() {
	const page = await open({ locale: job.locale ?? "en-GB", timezoneId: "UTC",
		reducedMotion: "reduce" });
	const context = page.context();

	await context.route("**/tus.min.js", (route) =>
		route.fulfill({ contentType: "text/javascript", body: standIn }));
	await context.route("**/files/**", answer);
	await page.clock.install({ time: noon.getTime() - 60000 });
	await page.clock.pauseAt(noon);
	return page;
}

async function take(page, name, picture, width, colorScheme) {
	await page.setViewportSize({ width, height: 640 });
	await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
	await page.evaluate(() => localStorage.clear());
	await page.goto(job.url);
	await page.waitForFunction(() => document.getElementById("server").textContent);
	await pictures[picture](page);
	// The port is another one each time.
	await page.evaluate(() => {
		const server = document.getElementById("server");
		server.textContent = server.textContent.replace(/:\d+/, "");
	});
	await shot(page, name);
}

await play({
	async shots() {
		const page = await start();
		const other = await page.context().newPage();
		const result = {};

		for (const picture of ["empty", "dragging", "finished", "working", "notice"])
			for (const width of widths)
				for (const colorScheme of themes) {
					const name = `${picture}-${width}-${colorScheme}`;
					await take(page, name, picture, width, colorScheme);
					result[name] = { faint: await faint(page),
						differ: job.like ? await differ(other, job.like, name) : 0 };
				}
		return result;
	},

	async readme() {
		await take(await start(), "page", "readme", 840, "light");
		return {};
	},
});
