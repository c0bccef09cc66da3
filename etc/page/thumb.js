// Small pictures of pictures, in place of the badge of the file's kind.  They
// are drawn, not loaded: no content security policy is in their way.

const side = 88;
const largest = 32 * 1024 * 1024;
let turn = Promise.resolve();

/** The middle of it, as a square; what it is as text, for another visit. */
async function draw(blob, badge) {
	const picture = await createImageBitmap(blob);
	const canvas = document.createElement("canvas");
	const part = Math.min(picture.width, picture.height);

	canvas.width = canvas.height = side;
	const context = canvas.getContext("2d");
	// What is transparent would be black in a JPEG.
	context.fillStyle = "#fff";
	context.fillRect(0, 0, side, side);
	context.imageSmoothingQuality = "high";
	context.drawImage(picture, (picture.width - part) / 2, (picture.height - part) / 2,
		part, part, 0, 0, side, side);
	picture.close();
	badge.replaceChildren(canvas);
	badge.classList.add("picture");
	return canvas.toDataURL("image/jpeg", 0.7).split(",")[1];
}

/** One after another, for a picture in memory is large. */
export function drawFile(file, badge) {
	if (!file.type.startsWith("image/") || file.size > largest)
		return Promise.resolve("");
	turn = turn.then(() => draw(file, badge)).catch(() => "");
	return turn;
}

export function drawText(text, badge) {
	const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
	draw(new Blob([bytes], { type: "image/jpeg" }), badge).catch(() => {});
}
