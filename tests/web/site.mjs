// Reads the manual with a browser:  node site.mjs SCENE JOB, see page.mjs.

import assert from "node:assert/strict";
import { open, phone, play, shot } from "./browser.mjs";

const isWithin = (page) => page.evaluate(() =>
	document.documentElement.scrollWidth <= document.documentElement.clientWidth);

/** Every page, on a phone and on a desk: nothing sticks out at the side. */
async function read(options, name, { url, pages }) {
	const page = await open(options);
	for (const one of pages) {
		await page.goto(new URL(one, url).href);
		assert.ok(await isWithin(page), `${one} is wider than its window`);
		await shot(page, `site-${name}-${one}`);
	}
	return { read: pages.length };
}

const scenes = {
	phone: (job) => read(phone, "phone", job),
	desk: (job) => read({}, "desk", job),

	async search() {
		const page = await open(phone);
		await page.keyboard.press("/");
		await page.keyboard.type("max_workers");
		const first = await page.textContent("#found li");
		assert.ok(!(await page.isVisible("main")));
		await shot(page, "site-search");
		await page.keyboard.press("Enter");
		await page.waitForURL(/#pool\.max_workers$/);
		assert.ok(await page.isVisible("main"));
		await page.fill("input", "a quarter-past<b>");
		const nothing = await page.textContent("#found");
		await page.keyboard.press("Escape");
		assert.ok(await page.isVisible("main"));
		return { first, nothing, at: new URL(page.url()).hash };
	},
};

await play(scenes);
