// Asking a server that may be away for a while.

/** What a server says when the same request may succeed a little later. */
const passing = [0, 408, 409, 423, 425, 429];

/** Is it worth another try?  Not when the answer would be the same again. */
export function passes(status) {
	return passing.includes(status) || (status >= 500 && status !== 507);
}

/** Like fetch(), and fails where the answer may be another one later. */
export async function ask(url, options) {
	const response = await fetch(url, options);
	if (passes(response.status))
		throw new Error(`answered ${response.status}`);
	return response;
}

const seconds = [1, 2, 4, 8, 15, 30];

/** Tries until it does not fail; onFailure() is told of every time it does. */
export async function untilAnswered(action, onFailure = () => {}) {
	for (let n = 0; ; n++) {
		try {
			return await action();
		} catch (error) {
			onFailure(error);
			await pause(seconds[Math.min(n, seconds.length - 1)]);
		}
	}
}

/** Until then, or until the network is back. */
function pause(time) {
	return new Promise((resolve) => {
		const end = () => {
			clearTimeout(timer);
			removeEventListener("online", end);
			resolve();
		};
		const timer = setTimeout(end, time * 1000);
		addEventListener("online", end);
	});
}
