// Uploads to tusfcgi in React, with Uppy:  <Uploads endpoint="/files/" />
//
//     npm install react @uppy/core @uppy/dashboard @uppy/react @uppy/tus
//
// chunkSize is for mod_fcgid alone; elsewhere a file is one request.

import { useEffect, useState } from "react";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/react/dashboard";
import Tus from "@uppy/tus";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";

export function Uploads({ endpoint, chunkSize = Infinity, onFinished }) {
	const [uppy] = useState(() => new Uppy().use(Tus, { endpoint, chunkSize }));

	useEffect(() => {
		const tell = (file, { uploadURL }) => onFinished?.(file, uploadURL);
		uppy.on("upload-success", tell);
		return () => uppy.off("upload-success", tell);
	}, [uppy, onFinished]);

	return <Dashboard uppy={uppy} width="100%" height={420} />;
}
