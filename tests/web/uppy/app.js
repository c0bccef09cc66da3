// Uppy as a site would use it; /uppy/?endpoint=/files/&chunkSize=N says where to.

import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import GoldenRetriever from "@uppy/golden-retriever";
import Tus from "@uppy/tus";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";

const asked = new URLSearchParams(location.search);

window.uppy = new Uppy()
	.use(Dashboard, { target: "#dashboard", inline: true, width: 700, height: 420,
		disableThumbnailGenerator: true })
	.use(Tus, { endpoint: asked.get("endpoint"),
		chunkSize: Number(asked.get("chunkSize")) || Infinity })
	.use(GoldenRetriever);
