// One upload with tus-js-client, as told by a JSON object in argv[2]:
//
//   endpoint   where to create
//   file       what to send
//   options    of tus.Upload; numbers and booleans
//   stream     send it as a stream of unknown length
//   store      a file that remembers uploads between runs; resumes what is in it
//   pauseAt    abort at this many bytes, and go on
//   dieAt      SIGKILL at this many bytes
//   terminate  ask the server to remove the upload at the end
//
// The last line printed is a JSON object: url, requests as [method, status],
// offset of the first progress, sent as last reported.

import fs from "node:fs";
import path from "node:path";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const job = JSON.parse(process.argv[2]);
const result = { requests: [], first: null, sent: 0, url: null };
let paused = false;

function report() {
	fs.writeSync(1, `${JSON.stringify(result)}\n`);
}

function openInput() {
	const file = fs.createReadStream(job.file);
	return job.stream ? file.pipe(new PassThrough()) : file;
}

function progress(sent) {
	result.first ??= sent;
	result.sent = sent;
	if (job.dieAt && sent >= job.dieAt) {
		report();
		process.kill(process.pid, "SIGKILL");
	}
	if (job.pauseAt && sent >= job.pauseAt && !paused) {
		paused = true;
		upload.abort().then(() => upload.start());
	}
}

const upload = new tus.Upload(openInput(), {
	endpoint: job.endpoint,
	metadata: { filename: path.basename(job.file), filetype: "application/x-test" },
	...(job.store && { urlStorage: new tus.FileUrlStorage(job.store) }),
	fingerprint: async () => `fixed-${path.basename(job.file)}`,
	retryDelays: [0, 100, 300, 1000, 1000, 1000],
	onProgress: progress,
	onAfterResponse(request, response) {
		const method = request.getHeader("X-HTTP-Method-Override") || "";
		result.requests.push([request.getMethod() + (method && `>${method}`),
			response.getStatus()]);
	},
	onError(error) {
		report();
		console.error(String(error));
		process.exit(1);
	},
	async onSuccess() {
		result.url = upload.url;
		if (job.terminate)
			await tus.Upload.terminate(upload.url);
		report();
	},
	...job.options,
});

if (job.store) {
	const earlier = await upload.findPreviousUploads();
	if (earlier.length > 0)
		upload.resumeFromPreviousUpload(earlier[0]);
}
upload.start();
