// What the scenes that drive a browser share; see page.mjs for what they are told.

import { chromium } from "playwright-core";

const [scene, job] = [process.argv[2], JSON.parse(process.argv[3])];
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
	"--disable-background-networking", "--disable-component-update", "--disable-sync",
	"--disable-dev-shm-usage"];
const desktop = { viewport: { width: 1100, height: 860 } };

export const phone = { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true };
export const soon = 20000;

export async function open(options = {}) {
	const context = await chromium.launchPersistentContext(job.profile, {
		executablePath: job.chromium, headless: true, args: flags,
		...desktop, ...options });
	const page = context.pages()[0];
	page.setDefaultTimeout(soon);
	page.on("pageerror", (error) => {
		throw error;
	});
	page.on("console", (message) => {
		if (/Content Security Policy/.test(message.text()))
			throw new Error(message.text());
	});
	page.on("dialog", (dialog) => dialog.accept());
	await page.goto(job.url);
	return page;
}

export async function shot(page, name) {
	if (job.shots)
		await page.screenshot({ path: `${job.shots}/${name}.png`, fullPage: true });
}

/** The session that limits a page: limits of two sessions would both count. */
const limits = new WeakMap();

/** Bytes per second for what the page sends; 0 lifts the limit. */
export async function throttle(page, rate) {
	if (!limits.has(page))
		limits.set(page, await page.context().newCDPSession(page));
	const session = limits.get(page);
	await session.send("Network.enable");
	await session.send("Network.emulateNetworkConditions", {
		offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: rate || -1 });
}

/** Plays the scene that the command line names, and ends. */
export async function play(scenes) {
	try {
		const result = await scenes[scene](job);
		console.log(JSON.stringify(result));
		process.exit(0);
	} catch (error) {
		console.error(error);
		process.exit(1);
	}
}
