// Light or dark: as the system says, until somebody presses the button.  This
// runs before the first paint, so that the page does not flash.

(() => {
	const key = "tusfcgi.theme";
	const root = document.documentElement;
	const system = matchMedia("(prefers-color-scheme: dark)");
	let chosen = null;

	try {
		chosen = localStorage.getItem(key);
	} catch {
		// Storage is switched off.
	}

	const show = () => {
		root.dataset.theme = chosen || (system.matches ? "dark" : "light");
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
