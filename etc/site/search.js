// Looks through all pages of the manual while a word is typed.  `sections` is in
// index.js: where, page, heading and text of each.

const most = 40;
const around = 90;
const form = document.querySelector("form");
const field = form.elements.q;
const found = document.querySelector("#found");
const page = document.querySelector("#page");

const contents = document.querySelector(".toc");
if (contents) contents.open = matchMedia("(min-width: 64rem)").matches;

const words = (query) => query.toLowerCase().split(/\s+/).filter((word) => word);

/** How well a section answers; 0 if a word is missing. */
function score([, title, heading, text], wanted) {
	const [name, all] = [heading.toLowerCase(), `${title} ${heading} ${text}`.toLowerCase()];
	let sum = 0;
	for (const word of wanted) {
		if (!all.includes(word)) return 0;
		sum += 1 + (name.includes(word) ? 10 : 0);
	}
	return sum + (name === wanted.join(" ") ? 100 : 0);
}

/** The words around the first that was sought, each of them marked. */
function excerpt(text, wanted) {
	const small = text.toLowerCase();
	const places = wanted.map((word) => small.indexOf(word)).filter((at) => at >= 0);
	const first = Math.min(...places, small.length) - around;
	const from = first > 0 ? small.lastIndexOf(" ", first) + 1 : 0;
	const end = small.lastIndexOf(" ", from + 3 * around);
	const part = text.length < from + 3 * around ? text.slice(from) : `${text.slice(from, end)} …`;
	const p = document.createElement("p");
	const escaped = wanted.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
	for (const [n, piece] of part.split(new RegExp(`(${escaped.join("|")})`, "i")).entries()) {
		const mark = n % 2 ? document.createElement("mark") : document.createTextNode("");
		mark.textContent = piece;
		p.append(mark);
	}
	if (from > 0) p.prepend("… ");
	return p;
}

function item([to, title, heading, text], wanted) {
	const li = document.createElement("li");
	const a = document.createElement("a");
	a.href = to;
	a.textContent = heading ? `${title} › ${heading}` : title;
	a.addEventListener("click", () => show(""));
	li.append(a, excerpt(text, wanted));
	return li;
}

function show(query) {
	const wanted = words(query);
	const answers = sections
		.map((section) => [score(section, wanted), section])
		.filter(([value]) => wanted.length && value)
		.sort(([a], [b]) => b - a)
		.slice(0, most)
		.map(([, section]) => item(section, wanted));
	if (wanted.length && !answers.length) {
		const nothing = document.createElement("li");
		nothing.className = "nothing";
		nothing.textContent = "Nothing has all of these words.";
		answers.push(nothing);
	}
	found.replaceChildren(...answers);
	found.hidden = !wanted.length;
	page.hidden = !!wanted.length;
}

form.hidden = false;
form.addEventListener("submit", (event) => {
	event.preventDefault();
	found.querySelector("a")?.click();
});
field.addEventListener("input", () => show(field.value));
addEventListener("keydown", (event) => {
	if (event.key === "/" && document.activeElement !== field) {
		event.preventDefault();
		field.focus();
	} else if (event.key === "Escape") {
		field.value = "";
		show("");
	}
});
field.value = new URLSearchParams(location.search).get("q") ?? "";
show(field.value);
