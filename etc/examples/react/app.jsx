// A page with uploads, and with what has come.

import { useState } from "react";
import { createRoot } from "react-dom/client";
import { Uploads } from "./uploads.jsx";

const endpoint = new URLSearchParams(location.search).get("endpoint") ?? "/files/";

function App() {
	const [done, setDone] = useState([]);

	return <main>
		<Uploads endpoint={endpoint}
			onFinished={(file, url) => setDone((before) => [...before, { name: file.name, url }])} />
		<ul>
			{done.map(({ name, url }) => <li key={url}><a href={url}>{name}</a></li>)}
		</ul>
	</main>;
}

createRoot(document.querySelector("#root")).render(<App />);
