// Files and folders, however they come.  Each becomes { file, path, handle }:
// path is "photos/2024/a.jpg" for what was in a folder, and with a handle the
// file can be read again after a reload.  What cannot be read is { name }.

async function* fromHandle(handle, folder) {
	if (handle.kind === "directory") {
		for await (const child of handle.values())
			yield* fromHandle(child, `${folder}${handle.name}/`);
		return;
	}
	try {
		const file = await handle.getFile();
		yield { file, handle, path: folder && folder + handle.name };
	} catch {
		yield { name: folder + handle.name };
	}
}

/** Where there are no handles. */
async function* fromEntry(entry, folder) {
	try {
		if (entry.isFile) {
			const file = await new Promise((ok, wrong) => entry.file(ok, wrong));
			yield { file, path: folder && folder + entry.name };
			return;
		}
		const reader = entry.createReader();
		for (;;) {
			// They come by the hundred; none is the end.
			const some = await new Promise((ok, wrong) => reader.readEntries(ok, wrong));
			if (some.length === 0)
				return;
			for (const child of some)
				yield* fromEntry(child, `${folder}${entry.name}/`);
		}
	} catch {
		yield { name: folder + entry.name };
	}
}

/** Call it in the event itself: later the browser tells nothing any more. */
export function fromDrop(data) {
	const items = [...data.items].filter((item) => item.kind === "file").map((item) => ({
		handle: item.getAsFileSystemHandle?.().catch(() => null),
		entry: item.webkitGetAsEntry?.(),
		file: item.getAsFile(),
	}));
	return read(items);
}

async function* read(items) {
	for (const { handle: asked, entry, file } of items) {
		const handle = await asked;
		if (handle)
			yield* fromHandle(handle, "");
		else if (entry?.isDirectory)
			yield* fromEntry(entry, "");
		else if (file)
			yield { file, path: "" };
	}
}

/** A picture from the clipboard is always called image.png: the time tells one
 * from the next. */
export function fromPaste(data) {
	const stamp = new Date().toISOString().slice(0, 19).replace(/\D/g, "");
	return [...data.files].map((file) => ({
		path: "",
		file: file.name !== "image.png" ? file
			: new File([file], `image-${stamp}.png`, file),
	}));
}

export function fromInput(input) {
	const files = [...input.files];
	input.value = "";
	return files.map((file) => ({ file, path: file.webkitRelativePath || "" }));
}

export const canPick = "showOpenFilePicker" in window;

/** Like the input, with handles.  Nothing if the user has changed his mind. */
export async function* fromPicker() {
	for (const handle of await window.showOpenFilePicker({ multiple: true }))
		yield* fromHandle(handle, "");
}
