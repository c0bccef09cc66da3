-- A small upload in two requests: create, then PATCH to the Location that an
-- answer named.  All connections of a thread share the list of those that wait
-- for their PATCH.  Half of the requests that wrk counts are whole uploads.
local size = os.getenv("BENCH_SIZE")
local body = string.rep("x", size)
local waiting = {}

function request()
	local where = table.remove(waiting)
	if where == nil then
		return wrk.format("POST", os.getenv("BENCH_PATH"), {
			["Tus-Resumable"] = "1.0.0",
			["Upload-Length"] = size,
			["Content-Length"] = "0",
		}, "")
	end
	return wrk.format("PATCH", where, {
		["Tus-Resumable"] = "1.0.0",
		["Content-Type"] = "application/offset+octet-stream",
		["Upload-Offset"] = "0",
	}, body)
end

function response(status, headers)
	local found = headers["Location"] or headers["location"]
	if status == 201 and found ~= nil then
		waiting[#waiting + 1] = found:gsub("^%a+://[^/]+", "")
	end
end
