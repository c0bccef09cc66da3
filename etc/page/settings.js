// What the page is called and looks like.  etc/page/install leaves this file
// alone where it is already.  index.html says where uploads go.

/* exported settings */
const settings = {
	// The heading.  "": "Uploads", in the reader's language.
	title: "",

	// A picture beside the page, as high as it is wide.
	logo: "icon.svg",

	// Of buttons and bars, as "#2456d3".  It becomes lighter in the dark, and
	// darker or lighter where it could not be read.  "": blue.
	colour: "",

	// There is words.LANGUAGE.json for each.  The browser says which one; the
	// first is for everybody else, and for what another one lacks.
	languages: ["en", "de"],
};
