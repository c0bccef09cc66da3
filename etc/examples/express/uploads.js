// Uploads of logged-in users by tusfcgi, for Express 4 and 5:
//
//     app.use("/tus", uploads({ secret, userOf, onFinished }));
//
// secret      as hooks.secret in tusfcgi.conf
// userOf      (headers) => the name of who is logged in, or nothing; may be async.
//             headers are those that hooks.forward_headers names, in lower case
// onFinished  ({ id, user, name, size, path }) => anything; what it throws is
//             logged, and the event comes again.  It may come twice, too
//
// and in tusfcgi.conf
//
//     hooks: {
//         url = "http://127.0.0.1:3000/tus/hook";
//         secret = "a long secret";
//         events = ( "pre-create", "post-finish" );
//         forward_headers = ( "Cookie", "Authorization" );
//     };

import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

function isSigned(secret, body, signature = "") {
	const mine = Buffer.from(
		`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`);
	const theirs = Buffer.from(signature);
	return mine.length === theirs.length && timingSafeEqual(mine, theirs);
}

const lowerCase = (headers) => Object.fromEntries(
	Object.entries(headers).map(([name, values]) => [name.toLowerCase(), values.join(", ")]));

export function uploads({ secret, userOf, onFinished }) {
	if (!secret) throw new Error("uploads() needs the secret of the hooks");

	const hooks = {
		async "pre-create"({ Upload, HTTPRequest }) {
			const user = await userOf(lowerCase(HTTPRequest.Header));
			if (!user)
				return { RejectUpload: true,
					HTTPResponse: { StatusCode: 403, Body: "log in first\n" } };
			// Whatever the client has said: this is who it is.
			return { ChangeFileInfo: { MetaData: { ...Upload.MetaData, user } } };
		},

		async "post-finish"({ Upload }) {
			if (Upload.IsPartial) return {};
			await onFinished({ id: Upload.ID, user: Upload.MetaData.user,
				name: Upload.MetaData.filename, size: Upload.Size,
				path: Upload.Storage.Path });
			return {};
		},
	};

	const router = express.Router();
	router.post("/hook", express.raw({ type: () => true, limit: "1mb" }),
		async (request, response, next) => {
			try {
				if (!isSigned(secret, request.body, request.get("X-Hook-Signature")))
					return response.sendStatus(403);
				const { Type, Event } = JSON.parse(request.body);
				response.json(Type in hooks ? await hooks[Type](Event) : {});
			} catch (error) {
				next(error);
			}
		});
	return router;
}
