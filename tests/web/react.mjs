// Drives the example for React:  node react.mjs SCENE JOB, see page.mjs.

import assert from "node:assert/strict";
import { open, phone, play, shot } from "./browser.mjs";

const scenes = {
	async upload(job) {
		const page = await open(phone);
		await page.setInputFiles(".uppy-Dashboard-input >> nth=0", job.files);
		await page.click(".uppy-StatusBar-actionBtn--upload");
		await page.waitForSelector(`li:nth-child(${job.files.length}) > a`);
		await shot(page, "react");
		assert.ok(await page.evaluate(() =>
			document.documentElement.scrollWidth <= innerWidth), "wider than a phone");
		return page.$$eval("li > a", (all) => all.map((a) => [a.textContent, a.href]));
	},
};

await play(scenes);
