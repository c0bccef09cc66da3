// Drives Uppy's Dashboard as page.mjs drives our page.

import assert from "node:assert/strict";
import { open, play, shot, throttle } from "./browser.mjs";

const button = (page, name) => page.locator(`.uppy-StatusBar button[aria-label="${name}"]`);

/** What Uppy knows: bytes sent of each file, and the URLs of what is done. */
const state = (page) => page.evaluate(() => {
	const files = window.uppy.getFiles();
	return { sent: files.map((f) => f.progress.bytesUploaded || 0),
		done: files.filter((f) => f.progress.uploadComplete).length,
		links: files.map((f) => f.uploadURL && new URL(f.uploadURL, location).href) };
});

async function waitSent(page, atLeast) {
	await page.waitForFunction((atLeast) => window.uppy.getFiles().length > 0 &&
		window.uppy.getFiles().every((f) => f.progress.bytesUploaded >= atLeast), atLeast);
}

/** Uppy keeps the bytes of its files for the next visit, one file after the other. */
const waitKept = (page, n) => page.waitForFunction((n) => new Promise((resolve, reject) => {
	const opening = indexedDB.open("uppy-blobs");
	opening.onerror = reject;
	opening.onsuccess = () => {
		const count = opening.result.transaction("files").objectStore("files").count();
		count.onerror = reject;
		count.onsuccess = () => {
			opening.result.close();
			resolve(count.result === n);
		};
	};
}), n);

const scenes = {
	/** Several files, paused, the page reloaded, and on where it was. */
	async resume(job) {
		const page = await open();
		const methods = [];
		page.on("request", (request) => methods.push(request.method()));
		await throttle(page, 6e5);
		await page.setInputFiles(".uppy-Dashboard-input >> nth=0", job.files);
		await page.click(".uppy-StatusBar-actionBtn--upload");
		await waitSent(page, 300000);
		await button(page, "Pause").click();
		const paused = await state(page);
		await page.waitForTimeout(600);
		assert.deepEqual((await state(page)).sent, paused.sent, "paused is paused");
		await shot(page, "uppy-paused");
		// A file without its bytes, or one that is finished just when the page goes,
		// would have to be chosen again.
		await waitKept(page, job.files.length);
		await throttle(page, 2e5);
		await button(page, "Resume").click();
		await page.waitForFunction((n) => window.uppy.getFiles().reduce((all, f) =>
			all + f.progress.bytesUploaded, 0) > n, paused.sent.reduce((a, b) => a + b));
		await page.reload();
		await page.waitForSelector(".uppy-Dashboard-serviceMsg, .uppy-StatusBar-actionBtn--upload");
		await shot(page, "uppy-reloaded");
		await throttle(page, 0);
		await page.click(".uppy-StatusBar-actionBtn--upload");
		await page.waitForFunction((n) => window.uppy.getFiles().filter((f) =>
			f.progress.uploadComplete).length === n, job.files.length);
		await shot(page, "uppy-done");
		return { ...await state(page), methods };
	},
};

await play(scenes);
