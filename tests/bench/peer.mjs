// @tus/server with its file store on a port of 127.0.0.1: PORT DIRECTORY
import { Server } from "@tus/server";
import { FileStore } from "@tus/file-store";

const [port, directory] = process.argv.slice(2);
const server = new Server({
	path: "/files",
	datastore: new FileStore({ directory }),
	relativeLocation: true,
});
server.listen({ host: "127.0.0.1", port: Number(port) });
