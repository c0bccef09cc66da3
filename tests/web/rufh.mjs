// A page that uploads with fetch() and nothing else, as the IETF's protocol has it.

import { open, play } from "./browser.mjs";

/** Runs in the page: a careful creation, then pieces, with a look in between. */
async function upload({ collection, size, piece }) {
	const bytes = new Uint8Array(size).map((_, i) => (i * 7 + (i >> 8)) & 255);
	const created = await fetch(collection, { method: "POST", headers: {
		"Upload-Complete": "?0", "Upload-Length": String(size),
		"Content-Disposition": "attachment; filename*=UTF-8''w%C3%B6rld.bin" } });
	const url = new URL(created.headers.get("Location"), location.href).href;
	const statuses = [created.status];
	for (;;) {
		const head = await fetch(url, { method: "HEAD" });
		statuses.push(head.status);
		if (head.headers.get("Upload-Complete") === "?1")
			return { url, statuses, limit: created.headers.get("Upload-Limit") };
		const at = Number(head.headers.get("Upload-Offset"));
		const end = Math.min(at + piece, size);
		const answer = await fetch(url, { method: "PATCH",
			body: bytes.slice(at, end), headers: {
				"Content-Type": "application/partial-upload",
				"Upload-Offset": String(at),
				"Upload-Complete": end === size ? "?1" : "?0" } });
		statuses.push(answer.status);
	}
}

await play({
	async fetch(job) {
		const page = await open();
		return page.evaluate(upload, job.upload);
	},
});
