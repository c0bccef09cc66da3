// What the browser remembers of finished uploads; with storage switched off
// it is merely forgotten.

export function load(key, fallback) {
	try {
		return JSON.parse(localStorage.getItem(key)) ?? fallback;
	} catch {
		return fallback;
	}
}

export function save(key, value) {
	try {
		localStorage.setItem(key, JSON.stringify(value));
	} catch {
		// Full or switched off; nothing depends on it.
	}
}
