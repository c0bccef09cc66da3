// Drives the upload page with a browser:  node page.mjs SCENE JOB
//
// JOB is a JSON object: url of the page, chromium, profile (a fresh folder),
// files (paths), shots (a folder for pictures, or nothing), and slack (how many
// percent a reload may cost, 8 unless said).  A scene throws when the page does
// not do what it promises; the last line printed is a JSON object with what the
// Python side checks.

import assert from "node:assert/strict";
import { open, phone, play, shot, soon, throttle } from "./browser.mjs";

const choose = (page, ...files) => page.setInputFiles("#files", files);
const row = (page, n) => page.locator("#current-list > li").nth(n);
const waitState = (page, n, state) =>
	page.waitForSelector(`#current-list > li:nth-child(${n + 1})[data-state=${state}]`);
const waitFinished = (page, n) =>
	page.waitForSelector(`#done-list > li:nth-child(${n})`, { timeout: 4 * soon });
const percent = async (page, n) =>
	Number(await row(page, n).locator(".bar").getAttribute("aria-valuenow"));

async function waitPercent(page, n, atLeast) {
	await page.waitForFunction(([n, atLeast]) => {
		const bar = document.querySelectorAll("#current-list .bar")[n];
		return bar && Number(bar.getAttribute("aria-valuenow")) >= atLeast;
	}, [n, atLeast]);
}

/** The URLs of what is finished, newest first. */
const links = (page) => page.$$eval("#done-list .download", (all) => all.map((a) => a.href));

/** Files that the user picks with File System Access: of the browser's own
 * file system, for a test cannot use the dialog. */
function pickHandles(page, size) {
	return page.addInitScript((size) => {
		window.showOpenFilePicker = async () => {
			const root = await navigator.storage.getDirectory();
			const handle = await root.getFileHandle("kept.bin", { create: true });
			const stream = await handle.createWritable();
			await stream.write(new Uint8Array(size).fill(7));
			await stream.close();
			return [handle];
		};
	}, size);
}

/** So that it is asked before every visit. */
function askForPermission(page, answer) {
	return page.addInitScript((answer) => {
		FileSystemHandle.prototype.queryPermission = async () =>
			localStorage.allowed ?? "prompt";
		FileSystemHandle.prototype.requestPermission = async () => {
			localStorage.allowed = navigator.userActivation.isActive ? answer : "denied";
			return localStorage.allowed;
		};
	}, answer);
}

const texts = (page, selector) => page.$$eval(selector, (all) => all.map((e) => e.textContent));

const scenes = {
	async upload(job) {
		const page = await open();
		await shot(page, "empty");
		await choose(page, ...job.files);
		await waitFinished(page, job.files.length);
		await page.waitForSelector("#done-list .download:not([hidden])");
		await shot(page, "done");
		assert.equal(await row(page, 0).count(), 0, "the list is empty");
		const result = { links: await links(page) };
		const [download] = await Promise.all([
			page.waitForEvent("download"), page.click("#done-list .download >> nth=0")]);
		result.name = download.suggestedFilename();
		await page.reload();
		await waitFinished(page, job.files.length);
		await page.click("#done-list .remove >> nth=0");
		await page.waitForFunction((n) =>
			document.querySelectorAll("#done-list > li").length === n, job.files.length - 1);
		return result;
	},

	async drop() {
		const page = await open();
		const data = await page.evaluateHandle(() => {
			const data = new DataTransfer();
			data.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
			return data;
		});
		await page.dispatchEvent("body", "dragenter", { dataTransfer: data });
		assert(await page.$("body.dragging"), "the page shows where to drop");
		await page.dispatchEvent("body", "drop", { dataTransfer: data });
		await waitFinished(page, 1);
		assert(!await page.$("body.dragging"), "and is back to normal");
		return { links: await links(page) };
	},

	async resume(job) {
		const page = await open();
		let sent = 0;
		page.on("request", (request) => {
			if (request.method() === "HEAD")
				sent++;
		});
		await throttle(page, 3e6);
		await choose(page, job.files[0]);
		await waitPercent(page, 0, 10);
		await shot(page, "uploading");
		await row(page, 0).locator(".pause").click();
		await waitState(page, 0, "paused");
		const paused = await percent(page, 0);
		await page.waitForTimeout(800);
		assert.equal(await percent(page, 0), paused, "paused is paused");
		await shot(page, "paused");
		await row(page, 0).locator(".resume").click();
		await waitPercent(page, 0, paused + 10);
		const before = await percent(page, 0);
		await page.reload();
		await waitState(page, 0, "missing");
		await waitPercent(page, 0, Math.max(1, before - (job.slack ?? 8)));
		const kept = await percent(page, 0);
		await shot(page, "reloaded");
		await throttle(page, 0);
		await row(page, 0).locator(".choose input").setInputFiles(job.files[0]);
		await waitFinished(page, 1);
		await page.reload();
		await page.waitForTimeout(300);
		assert.equal(await row(page, 0).count(), 0, "nothing is left to resume");
		return { links: await links(page), before, kept, heads: sent };
	},

	async otherFile(job) {
		const page = await open();
		await throttle(page, 3e6);
		await choose(page, job.files[0]);
		await waitPercent(page, 0, 5);
		await page.reload();
		await waitState(page, 0, "missing");
		await row(page, 0).locator(".choose input").setInputFiles(job.files[1]);
		await page.waitForSelector("#notice:not([hidden])");
		assert.match(await page.textContent("#notice"), /not the file that was begun/);
		await row(page, 0).locator(".cancel").click();
		await page.waitForSelector("#current", { state: "hidden" });
		await page.waitForTimeout(500);
		await page.reload();
		await page.waitForTimeout(500);
		assert.equal(await row(page, 0).count(), 0, "cancelled is forgotten");
		return {};
	},

	async tooLarge(job) {
		const page = await open();
		await page.waitForFunction(() =>
			/Up to 1 MB a file/.test(document.getElementById("drop-hint").textContent));
		await choose(page, ...job.files);
		await page.waitForSelector("#notice:not([hidden])");
		assert.match(await page.textContent("#notice"), /larger than 1 MB,/);
		await waitFinished(page, 1);
		return { links: await links(page) };
	},

	/** The page says the limit that tusfcgi.conf says. */
	async limit() {
		const page = await open();
		await page.waitForFunction(() =>
			/Up to/.test(document.getElementById("drop-hint").textContent));
		return { hint: await page.textContent("#drop-hint") };
	},

	/** A reload while the server is down; it comes back later. */
	async downAtStart(job) {
		const page = await open();
		await throttle(page, 3e6);
		await choose(page, job.files[0]);
		await waitPercent(page, 0, 10);
		await row(page, 0).locator(".pause").click();
		await waitState(page, 0, "paused");
		const before = await percent(page, 0);
		console.log("stop");
		await page.reload();
		await waitState(page, 0, "missing");
		await page.waitForSelector("#notice:not([hidden])");
		const state = await row(page, 0).locator(".meta").textContent();
		assert.match(state, /waiting for the server/);
		assert.doesNotMatch(state, /0 B|%/, "nobody knows what is there");
		console.log("start");
		await waitPercent(page, 0, Math.max(1, before - (job.slack ?? 8)));
		await page.waitForSelector("#notice", { state: "hidden" });
		assert.match(await page.textContent("#server"), /^tus 1\.0\.0/);
		return { before };
	},

	/** The network breaks between the last byte and the question after it. */
	async lostLink(job) {
		const page = await open();
		let lost = 0;
		await page.route("**/files/*", (route) =>
			route.request().method() === "GET" && lost++ < job.lost
				? route.abort("connectionreset") : route.continue());
		await choose(page, job.files[0]);
		await waitFinished(page, 1);
		if (job.reload) {
			await page.waitForTimeout(300);
			await page.reload();
		}
		await page.waitForSelector("#done-list .download:not([hidden])");
		return { lost };
	},

	async dismiss(job) {
		const page = await open();
		const refuse = async () => {
			await choose(page, job.files[0]);
			await page.waitForSelector("#notice:not([hidden])");
		};
		await refuse();
		await page.click("#notice button");
		await page.waitForSelector("#notice", { state: "hidden" });
		assert.equal(await page.evaluate(() => document.activeElement.id), "files",
			"the focus is not lost");
		await refuse();
		await page.keyboard.press("Escape");
		await page.waitForSelector("#notice", { state: "hidden" });
		return {};
	},

	/** Whether the browser asks before the page is left, and when it does not. */
	async leave(job) {
		const page = await open();
		const asked = [];
		page.on("dialog", (dialog) => asked.push(dialog.type()));
		// Nobody is asked who has done nothing here.
		await page.click("h1");
		await page.reload();
		assert.deepEqual(asked, [], "nothing would be lost");
		await page.click("h1");
		await throttle(page, 1e6);
		await choose(page, ...job.files);
		await waitState(page, 3, "waiting");
		await page.reload();
		assert.deepEqual(asked, ["beforeunload"]);
		return {};
	},

	/** No button is pushed off the screen, whatever a file is called. */
	async longName(job) {
		const page = await open();
		const name = `${"a-very-long-name-without-any-space-".repeat(7)}.pdf`;
		const check = async (what) => {
			for (const width of [360, 600, 768, 1280]) {
				await page.setViewportSize({ width, height: 800 });
				const out = await page.$$eval("button, .button, .name, .percent", (all) => all
					.filter((e) => e.getClientRects().length > 0)
					.filter((e) => e.getBoundingClientRect().right > innerWidth)
					.map((e) => e.className));
				assert.deepEqual(out, [], `${what} at ${width} px`);
				assert.equal(await page.evaluate(() =>
					document.documentElement.scrollWidth), width, what);
			}
		};
		const file = { name, mimeType: "application/pdf", buffer: Buffer.alloc(3e6) };
		await throttle(page, 3e5);
		await choose(page, file);
		await waitState(page, 0, "sending");
		await waitPercent(page, 0, 1);
		await check("sending");
		await choose(page, { ...file, buffer: Buffer.alloc(5e6) });
		await page.waitForSelector("#notice:not([hidden])");
		await check("the notice");
		await throttle(page, 0);
		await waitFinished(page, 1);
		await page.waitForSelector("#done-list .download:not([hidden])");
		await check("finished");
		return {};
	},

	async outage(job) {
		const page = await open();
		await throttle(page, 3e6);
		await choose(page, job.files[0]);
		await waitPercent(page, 0, 10);
		console.log("stop");
		await waitState(page, 0, "retrying");
		await shot(page, "retrying");
		console.log("start");
		await throttle(page, 0);
		await waitFinished(page, 1);
		return { links: await links(page) };
	},

	/** What the web server answers to the first PATCH, and to the HEAD after it. */
	async again(job) {
		const page = await open();
		const seen = [];
		const refuse = new Set(["PATCH", "HEAD"]);
		await page.route("**/files/**", (route) => {
			const method = route.request().method();
			if (method !== "OPTIONS")
				seen.push(method);
			return refuse.delete(method) ? route.fulfill({ status: job.status })
				: route.continue();
		});
		await choose(page, job.files[0]);
		await waitFinished(page, 1);
		return { seen, links: await links(page) };
	},

	async refused(job) {
		const page = await open();
		await choose(page, job.files[0]);
		await waitState(page, 0, "failed");
		await page.waitForTimeout(100);
		await shot(page, "error");
		return { text: await row(page, 0).locator(".state").textContent() };
	},

	async keyboard(job) {
		const page = await open();
		await throttle(page, 3e5);
		await choose(page, ...job.files);
		await waitState(page, 0, "sending");
		const seen = [];
		for (let n = 0; n < 12; n++) {
			await page.keyboard.press("Tab");
			seen.push(await page.evaluate(() => {
				const at = document.activeElement;
				return at.getAttribute("aria-label") || at.textContent.trim() || at.id;
			}));
		}
		await row(page, 0).locator(".pause").focus();
		await page.keyboard.press("Enter");
		await waitState(page, 0, "paused");
		assert.equal(await page.evaluate(() => document.activeElement.title), "Resume",
			"the focus moves to the opposite button");
		await page.keyboard.press("Space");
		await page.waitForSelector("#current-list > li:not([data-state=paused])");
		const nameless = await page.$$eval("button, a, input", (all) => all.filter((e) =>
			e.offsetParent && !e.getAttribute("aria-label") && !e.textContent.trim() &&
			!e.closest("label")?.textContent.trim()).map((e) => e.outerHTML));
		assert.deepEqual(nameless, [], "every control has a name");
		return { seen };
	},

	async phone(job) {
		const page = await open({ ...phone, colorScheme: "dark" });
		await throttle(page, 1e6);
		await choose(page, ...job.files);
		await waitState(page, 0, "sending");
		await page.waitForTimeout(1500);
		await shot(page, "phone");
		const [wide, dark] = await page.evaluate(() => [
			document.documentElement.scrollWidth - innerWidth,
			document.documentElement.dataset.theme]);
		assert.equal(wide, 0, "nothing sticks out");
		assert.equal(dark, "dark", "the system's colours are followed");
		await page.click("#theme");
		await page.reload();
		assert.equal(await page.evaluate(() => document.documentElement.dataset.theme),
			"light", "the choice is remembered");
		return {};
	},

	/** A folder that is chosen. */
	async folder(job) {
		const page = await open();
		await page.setInputFiles("#folder", job.files[0]);
		await waitFinished(page, job.count);
		return { folders: await texts(page, "#done-list .folder") };
	},

	/** A folder and a file that are dropped: a real drop, of real paths. */
	async dropFolder(job) {
		const page = await open();
		const session = await page.context().newCDPSession(page);
		for (const type of ["dragEnter", "dragOver", "drop"])
			await session.send("Input.dispatchDragEvent", { type, x: 300, y: 200,
				data: { items: [], files: job.files, dragOperationsMask: 1 } });
		await waitFinished(page, job.count);
		return { folders: await texts(page, "#done-list .folder") };
	},

	async paste() {
		const page = await open();
		const paste = (name, text) => page.evaluate(([name, text]) => {
			const clipboardData = new DataTransfer();
			if (name)
				clipboardData.items.add(new File([text], name, { type: "image/png" }));
			else
				clipboardData.setData("text/plain", text);
			document.body.dispatchEvent(new ClipboardEvent("paste", {
				clipboardData, bubbles: true }));
		}, [name, text]);
		await paste("", "no file at all");
		await paste("image.png", "first");
		await waitFinished(page, 1);
		await paste("holiday.png", "second");
		await waitFinished(page, 2);
		return { links: await links(page), names: await texts(page, "#done-list .file") };
	},

	async thumbs() {
		const page = await open();
		const png = await page.evaluate(() => {
			const canvas = document.createElement("canvas");
			[canvas.width, canvas.height] = [300, 200];
			const context = canvas.getContext("2d");
			context.fillStyle = "#c01020";
			context.fillRect(0, 0, 300, 200);
			return canvas.toDataURL().split(",")[1];
		});
		const middle = () => page.$$eval("#done-list .kind", (all) => all.map((e) => {
			const canvas = e.querySelector("canvas");
			return canvas && [...canvas.getContext("2d").getImageData(44, 44, 1, 1).data];
		}));
		await choose(page,
			{ name: "red.png", mimeType: "image/png", buffer: Buffer.from(png, "base64") },
			{ name: "broken.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
		await waitFinished(page, 2);
		await page.waitForSelector("#done-list canvas");
		const before = await middle();
		await page.reload();
		await page.waitForSelector("#done-list canvas");
		return { before, after: await middle() };
	},

	async words(job) {
		const page = await open({ locale: job.locale });
		await page.waitForFunction(() => document.getElementById("server").textContent);
		await choose(page, job.files[0]);
		await waitFinished(page, 1);
		return { lang: await page.getAttribute("html", "lang"),
			text: await page.innerText("body"), title: await page.title(),
			state: await page.textContent("#done-list .state") };
	},

	/** What settings.js says, in the light and in the dark. */
	async settings() {
		const page = await open();
		const seen = {};
		for (const colorScheme of ["light", "dark"]) {
			await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
			seen[colorScheme] = await page.$eval(".pick", (e) =>
				[getComputedStyle(e).color, getComputedStyle(e).backgroundColor]);
		}
		return { seen, title: await page.title(), heading: await page.textContent("h1"),
			logo: await page.$eval("#logo", (e) => e.naturalWidth) };
	},

	/** Some are small, one is large; some have begun, others wait. */
	async reloadSmall(job) {
		const page = await open();
		await throttle(page, 1e6);
		await choose(page, ...job.files);
		await waitState(page, 4, "waiting");
		await waitPercent(page, 1, 1);
		await row(page, 3).locator(".pause").click();
		await waitState(page, 3, "paused");
		await page.waitForTimeout(500);
		await page.reload();
		await page.waitForSelector("#current-list > li:nth-child(5)");
		await page.waitForFunction(() => document.querySelectorAll(
			"#current-list > [data-state=sending]").length === 3);
		const states = await page.$$eval("#current-list > li", (all) =>
			all.map((e) => [e.querySelector(".file").textContent, e.dataset.state]));
		await throttle(page, 0);
		await waitFinished(page, 3);
		await row(page, 1).locator(".resume").click();
		await waitFinished(page, 4);
		await page.reload();
		await waitState(page, 0, "missing");
		assert.equal(await row(page, 1).count(), 0, "what is finished is forgotten");
		return { states, links: await links(page) };
	},

	/** Picked with File System Access; nobody is asked after a reload, or with
	 * job.ask, the answer, by a click. */
	async handle(job) {
		const page = await open();
		await pickHandles(page, job.size);
		if (job.ask)
			await askForPermission(page, job.ask);
		await page.reload();
		await throttle(page, 3e6);
		await page.click(".pick");
		await waitPercent(page, 0, 10);
		if (job.change)
			await page.evaluate(async () => {
				const root = await navigator.storage.getDirectory();
				const stream = await (await root.getFileHandle("kept.bin")).createWritable();
				await stream.write("another");
				await stream.close();
			});
		await page.reload();
		if (job.change) {
			await page.waitForSelector("#notice:not([hidden])");
			assert.match(await page.textContent("#notice"), /kept\.bin is not where it was/);
			await row(page, 0).locator(".choose").waitFor();
			return {};
		}
		if (job.ask) {
			await waitState(page, 0, "missing");
			assert(!await page.locator("#explain").isVisible(), "nothing is to be chosen");
			assert(!await row(page, 0).locator(".choose").isVisible());
			await row(page, 0).locator(".resume").click();
			if (job.ask === "denied") {
				await row(page, 0).locator(".choose").waitFor();
				assert.match(await page.evaluate(() =>
					document.activeElement.getAttribute("aria-label")), /^Choose/);
				return {};
			}
			assert.equal(await page.evaluate(() => document.activeElement.title), "Cancel");
		}
		await throttle(page, 0);
		await waitFinished(page, 1);
		return { links: await links(page) };
	},

	/** A second page leaves alone what the first one does; when that is gone,
	 * the next one goes on with it. */
	async twoPages(job) {
		const page = await open();
		await throttle(page, 5e5);
		await choose(page, ...job.files);
		await waitPercent(page, 0, 5);
		const second = await page.context().newPage();
		await second.goto(job.url);
		await second.waitForTimeout(2500);
		assert.equal(await row(second, 0).count(), 0, "it is not the second page's");
		assert.equal(await row(page, 0).getAttribute("data-state"), "sending");
		await page.close();
		await second.reload();
		await waitFinished(second, job.files.length);
		return { links: await links(second) };
	},
};

await play(scenes);
