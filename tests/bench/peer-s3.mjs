// @tus/server with its S3 store on a port of 127.0.0.1:
// PORT ENDPOINT BUCKET ACCESS SECRET
import { Server } from "@tus/server";
import { S3Store } from "@tus/s3-store";

const [port, endpoint, bucket, accessKeyId, secretAccessKey] = process.argv.slice(2);
const server = new Server({
	path: "/files",
	datastore: new S3Store({
		partSize: 8 * 1024 * 1024,
		// radosgw 16 takes no checksum behind the body.
		s3ClientConfig: { bucket, endpoint, region: "us-east-1", forcePathStyle: true,
			requestChecksumCalculation: "WHEN_REQUIRED",
			responseChecksumValidation: "WHEN_REQUIRED",
			credentials: { accessKeyId, secretAccessKey } },
	}),
	relativeLocation: true,
});
server.listen({ host: "127.0.0.1", port: Number(port) });
