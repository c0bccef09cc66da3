// What is to be uploaded, remembered over a reload: the name of each file and,
// where the browser can, the file itself: by a handle of File System Access, or
// its bytes if they are few.  With storage switched off all this is forgotten.

const largest = 16 * 1024 * 1024;
const most = 64 * 1024 * 1024;

/** Of each file that is to be remembered: how many bytes of it are kept. */
const kept = new Map();
const room = () => [...kept.values()].reduce((left, size) => left - size, most);

/** Whoever holds the lock of this name lives.  Only known in a secure context. */
const tab = `tusfcgi.${Date.now()}.${Math.random()}`;
const living = new Promise((resolve) => {
	if (!navigator.locks)
		resolve();
	navigator.locks?.request(tab, () => {
		resolve();
		return new Promise(() => {});
	}).catch(resolve);
});

/** Can two pages at once tell who has begun what? */
export const knowsOthers = Boolean(navigator.locks);

const opened = new Promise((resolve, reject) => {
	const request = indexedDB.open("tusfcgi", 1);
	request.onupgradeneeded = () =>
		request.result.createObjectStore("files", { keyPath: "key" });
	request.onsuccess = () => resolve(request.result);
	request.onerror = () => reject(request.error);
});
opened.catch(() => {});

/** Runs action(store); the result is that of the request it returns. */
async function transact(mode, action) {
	const database = await opened;
	return new Promise((resolve, reject) => {
		const transaction = database.transaction("files", mode);
		const request = action(transaction.objectStore("files"));
		transaction.oncomplete = () => resolve(request?.result);
		transaction.onabort = () => reject(transaction.error);
	});
}

/** Also what the browser cannot store has a name at least. */
export async function keep({ key, endpoint, file, path, handle }) {
	const { name, type, size, lastModified } = file;
	const record = { key, tab, endpoint, name, type, size, lastModified, path,
		time: Date.now() };
	const put = (more) => transact("readwrite", (store) => store.put({ ...record, ...more }));

	kept.delete(key);
	const isSmall = !handle && size <= Math.min(largest, room());
	kept.set(key, isSmall ? size : 0);
	try {
		await put(handle ? { handle } : isSmall ? { file } : {});
	} catch {
		if (kept.has(key))
			await put({}).catch(() => {});
	}
}

export function drop(key) {
	kept.delete(key);
	return transact("readwrite", (store) => store.delete(key)).catch(() => {});
}

/** It is not to go on by itself. */
export function markPaused(key, paused) {
	return transact("readwrite", (store) => {
		const request = store.get(key);
		request.onsuccess = () => request.result && store.put({ ...request.result, paused });
		return request;
	}).catch(() => {});
}

/** Does the page live that has begun this?  One that is being left may need a
 * moment to let go. */
async function isAlive(owner) {
	if (owner === tab)
		return true;
	if (!knowsOthers)
		return false;
	try {
		await navigator.locks.request(owner, { signal: AbortSignal.timeout(1000) }, () => {});
		return false;
	} catch {
		return true;
	}
}

/** What pages left behind that are gone, from now on ours; and the keys of what
 * others are about to upload. */
export async function takeOver(endpoint) {
	try {
		await living;
		const all = (await transact("readonly", (store) => store.getAll()))
			.filter((record) => record.endpoint === endpoint);
		const owners = [...new Set(all.map((record) => record.tab))];
		const alive = await Promise.all(owners.map(isAlive));
		const dead = new Set(owners.filter((_, i) => !alive[i]));
		const ours = await claim(all.filter((record) => dead.has(record.tab)));
		const keys = new Set(ours.map((record) => record.key));
		for (const { key, file } of ours)
			kept.set(key, file?.size ?? 0);
		return { ours, others: new Set(all.map(({ key }) => key).filter((key) => !keys.has(key))) };
	} catch {
		return { ours: [], others: new Set() };
	}
}

/** Two pages may want the same: the first one has it. */
async function claim(records) {
	const ours = [];
	await transact("readwrite", (store) => {
		for (const record of records) {
			const request = store.get(record.key);
			request.onsuccess = () => {
				if (request.result?.tab !== record.tab)
					return;
				ours.push(record);
				store.put({ ...record, tab });
			};
		}
	});
	return ours.sort((a, b) => a.time - b.time);
}
