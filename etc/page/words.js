// The page in the reader's language: words.LANGUAGE.json has the texts.

/* global settings */

const languages = settings.languages;

/** "de-AT" is served by "de"; its numbers and times are Austrian. */
function pick() {
	for (const wanted of navigator.languages) {
		const [base] = wanted.split("-");
		const found = languages.find((one) => one === wanted) ||
			languages.find((one) => one === base);
		if (found)
			return [found, wanted];
	}
	return [languages[0], languages[0]];
}

async function load(language) {
	try {
		const url = new URL(`words.${language}.json`, import.meta.url);
		return await (await fetch(url)).json();
	} catch {
		return {};
	}
}

export const [language, locale] = pick();
const [general, own] = await Promise.all([load(languages[0]), load(language)]);
const words = { ...general, ...own };
const plurals = new Intl.PluralRules(language);

/** The text of this name; {size} in it becomes values.size.  Where there are
 * several, values.count decides. */
export function say(name, values = {}) {
	let text = words[name] ?? name;
	if (typeof text === "object")
		text = text[plurals.select(values.count)] ?? text.other;
	return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

/** Is there such a text? */
export const has = (name) => name in words;

/** data-say is a text; data-label is what a button without a text does. */
export function translate(root) {
	for (const element of root.querySelectorAll("[data-say]"))
		element.textContent = say(element.dataset.say);
	for (const element of root.querySelectorAll("[data-label]"))
		label(element, say(element.dataset.label));
}

/** What a button does, for the mouse and, with the name of the file, for those
 * who do not see the page. */
export function label(element, text, spoken = text) {
	element.title = text;
	element.setAttribute("aria-label", spoken);
}
