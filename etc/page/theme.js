// Light or dark: as the system says, until somebody presses the button; and the
// colour of settings.js.  This runs before the first paint, so that the page
// does not flash.

/* global settings */

(() => {
	const key = "tusfcgi.theme";
	const root = document.documentElement;
	const system = matchMedia("(prefers-color-scheme: dark)");
	const cards = { light: [255, 255, 255], dark: [24, 32, 42] };
	const [black, white] = [[12, 22, 38], [255, 255, 255]];
	let chosen = null;

	try {
		chosen = localStorage.getItem(key);
	} catch {
		// Storage is switched off.
	}

	/** Relative luminance as WCAG 2 has it. */
	const luminance = (colour) => {
		const [r, g, b] = colour.map((byte) => {
			const part = byte / 255;
			return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};

	const contrast = (a, b) => {
		const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
		return (light + 0.05) / (dark + 0.05);
	};

	/** So much of b in a. */
	const mix = (a, b, part) => a.map((byte, i) => Math.round(byte + (b[i] - byte) * part));
	const css = (colour) => `rgb(${colour.join(" ")})`;

	/** The colour, and what lies behind it; the text on it is to be read. */
	const readable = (colour, theme) => {
		for (let part = 0; ; part += 0.04) {
			const accent = mix(colour, theme === "dark" ? white : [0, 0, 0], Math.min(part, 1));
			const soft = mix(cards[theme], accent, 0.12);
			if (part >= 1 || contrast(accent, soft) >= 4.6)
				return { accent, soft };
		}
	};

	const paint = (theme) => {
		if (!/^#[0-9a-f]{6}$/i.test(settings.colour))
			return;
		const colour = [1, 3, 5].map((at) => parseInt(settings.colour.slice(at, at + 2), 16));
		const { accent, soft } = readable(colour, theme);
		const on = contrast(accent, white) > contrast(accent, black) ? white : black;
		root.style.setProperty("--accent", css(accent));
		root.style.setProperty("--accent-soft", css(soft));
		root.style.setProperty("--on-accent", css(on));
	};

	const show = () => {
		root.dataset.theme = chosen || (system.matches ? "dark" : "light");
		paint(root.dataset.theme);
	};

	const change = () => {
		chosen = root.dataset.theme === "dark" ? "light" : "dark";
		show();
		try {
			localStorage.setItem(key, chosen);
		} catch {
			// Then it holds until the page is left.
		}
	};

	show();
	system.addEventListener("change", show);
	addEventListener("DOMContentLoaded", () =>
		document.getElementById("theme").addEventListener("click", change));
})();
