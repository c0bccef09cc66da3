-- A small upload in one request (creation-with-upload).
local body = string.rep("x", 1024)

function request()
	return wrk.format("POST", os.getenv("BENCH_PATH"), {
		["Tus-Resumable"] = "1.0.0",
		["Upload-Length"] = "1024",
		["Content-Type"] = "application/offset+octet-stream",
	}, body)
end
