// What both lists of the page share.

import { extensionOf, kindOf } from "./format.js";

export const $ = (id) => document.getElementById(id);

/** For those who do not see the page; said when it is worth a word. */
export function announce(text) {
	$("status").textContent = text;
}

/** What is wrong, until it is dismissed; `about` is for withdraw(). */
export function notice(text, about = "") {
	$("notice-text").textContent = text;
	$("notice").dataset.about = about;
	$("notice").hidden = !text;
}

export function withdraw(about) {
	if ($("notice").dataset.about === about)
		notice("");
}

export function dismiss() {
	notice("");
	$("files").focus();
}

/** A row of this template, with the name of the file and of its folder. */
export function newRow(template, { name, type, path }) {
	const row = $(template).content.cloneNode(true).firstElementChild;
	const kind = row.querySelector(".kind");
	const folder = path ? path.slice(0, path.lastIndexOf("/")) : "";

	kind.textContent = extensionOf(name);
	kind.dataset.kind = kindOf(name, type);
	row.querySelector(".file").textContent = name;
	row.querySelector(".folder").textContent = folder;
	row.querySelector(".name").title = path || name;
	return row;
}
