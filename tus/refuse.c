/*
 * refuse.c - every refusal there is, in one table.
 *
 * The codes are tusd's where it has one, so that users find them.  The texts
 * are fixed: nothing of the request and no path is ever in them.
 */
#include "config.h"

#include "base/compat.h"
#include "tus/call.h"

static const struct tus_answer answers[TUS_REFUSAL_MAX] = {
	[TUS_UNSUPPORTED_VERSION] = { 412, "ERR_UNSUPPORTED_VERSION",
	    "this server speaks tus 1.0.0; send Tus-Resumable: 1.0.0" },
	[TUS_ORIGIN_NOT_ALLOWED] = { 403, "ERR_ORIGIN_NOT_ALLOWED",
	    "this origin may not upload here" },
	[TUS_OWNER_UNKNOWN] = { 403, "ERR_OWNER_UNKNOWN",
	    "log in first: uploads belong to users here" },
	[TUS_METHOD_NOT_ALLOWED] = { 405, "ERR_METHOD_NOT_ALLOWED",
	    "this method is not offered here; see Allow" },
	[TUS_NOT_FOUND] = { 404, "ERR_UPLOAD_NOT_FOUND",
	    "there is no such upload" },
	[TUS_GONE] = { 410, "ERR_UPLOAD_GONE",
	    "the upload was not finished in time and has expired" },
	[TUS_LOCKED] = { 423, "ERR_UPLOAD_LOCKED",
	    "somebody else is writing to the upload; try again" },
	[TUS_INTERRUPTED] = { 423, "ERR_UPLOAD_INTERRUPTED",
	    "another request took the upload over; ask for the offset and "
	    "go on" },
	[TUS_TIMED_OUT] = { 423, "ERR_UPLOAD_INTERRUPTED",
	    "the data came too slowly; ask for the offset and go on" },
	[TUS_SHUTTING_DOWN] = { 503, "ERR_SERVER_SHUTDOWN",
	    "the server is going down; what came is kept" },
	[TUS_TOO_BUSY] = { 503, "ERR_TOO_BUSY",
	    "the server cannot take more now; try again" },
	[TUS_STORE_UNAVAILABLE] = { 503, "ERR_STORE_UNAVAILABLE",
	    "the uploads are out of reach now; try again" },
	[TUS_LOCK_UNAVAILABLE] = { 503, "ERR_LOCK_UNAVAILABLE",
	    "the locks are out of reach now; try again" },
	[TUS_BAD_CONTENT_TYPE] = { 415, "ERR_INVALID_CONTENT_TYPE",
	    "a body must be application/offset+octet-stream" },
	[TUS_BAD_CONTENT_LENGTH] = { 400, "ERR_INVALID_CONTENT_LENGTH",
	    "Content-Length is not a number" },
	[TUS_BAD_LENGTH] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "Upload-Length is not a number of bytes" },
	[TUS_LENGTH_MISSING] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "send Upload-Length, or Upload-Defer-Length if offered" },
	[TUS_LENGTH_AMBIGUOUS] = { 400, "ERR_AMBIGUOUS_UPLOAD_LENGTH",
	    "Upload-Length and Upload-Defer-Length exclude each other" },
	[TUS_BAD_DEFER_LENGTH] = { 400, "ERR_INVALID_UPLOAD_LENGTH_DEFER",
	    "Upload-Defer-Length can only be 1" },
	[TUS_LENGTH_CHANGED] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the length of this upload was another and cannot change" },
	[TUS_LENGTH_TOO_SMALL] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "more bytes than that have arrived already" },
	[TUS_TOO_LARGE] = { 413, "ERR_MAX_SIZE_EXCEEDED",
	    "larger than the limit of this server; see Tus-Max-Size" },
	[TUS_BEYOND_LENGTH] = { 413, "ERR_UPLOAD_SIZE_EXCEEDED",
	    "more bytes than Upload-Length announced" },
	[TUS_BAD_OFFSET] = { 400, "ERR_INVALID_OFFSET",
	    "Upload-Offset is missing or not a number of bytes" },
	[TUS_WRONG_OFFSET] = { 409, "ERR_MISMATCHED_OFFSET",
	    "the upload is at another offset; see Upload-Offset" },
	[TUS_BAD_METADATA] = { 400, "ERR_INVALID_METADATA",
	    "Upload-Metadata must be unique keys with base64 values" },
	[TUS_METADATA_TOO_LARGE] = { 431, "ERR_METADATA_TOO_LARGE",
	    "Upload-Metadata or Upload-Concat is longer, or has more keys, "
	    "than this server takes" },
	[TUS_NO_CONCATENATION] = { 400, "ERR_CONCATENATION_UNSUPPORTED",
	    "concatenation is not offered here" },
	[TUS_BAD_CONCAT] = { 400, "ERR_INVALID_CONCAT",
	    "Upload-Concat must be partial, or final; and upload URLs" },
	[TUS_PART_NOT_FINISHED] = { 400, "ERR_UPLOAD_NOT_FINISHED",
	    "one of the partial uploads is not finished" },
	[TUS_PART_NOT_PARTIAL] = { 400, "ERR_INVALID_CONCAT",
	    "one of the uploads is not a partial one" },
	[TUS_FINAL_WITH_LENGTH] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the length of a final upload follows from its parts" },
	[TUS_FINAL_WITH_BODY] = { 403, "ERR_MODIFY_FINAL",
	    "a final upload takes no data of its own" },
	[TUS_MODIFY_FINAL] = { 403, "ERR_MODIFY_FINAL",
	    "a final upload cannot be changed" },
	[TUS_KEEP_FINISHED] = { 403, "ERR_UPLOAD_TERMINATION_REJECTED",
	    "finished uploads cannot be removed here" },
	[TUS_BAD_CHECKSUM] = { 400, "ERR_INVALID_CHECKSUM",
	    "Upload-Checksum must be an algorithm, a space, and base64" },
	[TUS_UNKNOWN_ALGORITHM] = { 400, "ERR_CHECKSUM_ALGORITHM",
	    "unknown algorithm; see Tus-Checksum-Algorithm" },
	[TUS_CHECKSUM_TRAILER] = { 400, "ERR_CHECKSUM_TRAILER_UNSUPPORTED",
	    "send Upload-Checksum as a header, not as a trailer" },
	[TUS_CHECKSUM_MISMATCH] = { 460, "ERR_CHECKSUM_MISMATCH",
	    "the checksum does not match; send the data again" },
	[TUS_UNEXPECTED_END] = { 400, "ERR_UNEXPECTED_EOF",
	    "the body ended early; ask for the offset and go on" },
	[TUS_BAD_RANGE] = { 416, "ERR_INVALID_RANGE",
	    "the range is beyond the end" },
	[TUS_PRECONDITION_FAILED] = { 412, "ERR_PRECONDITION_FAILED",
	    "the file is another one than If-Match names" },
	[TUS_OVER_QUOTA] = { 413, "ERR_QUOTA_EXCEEDED",
	    "you have as much here as you may; remove some of your uploads" },
	[TUS_NO_SPACE] = { 507, "ERR_NO_SPACE",
	    "the server has no room left; what came is kept" },
	[TUS_REJECTED] = { 400, "ERR_UPLOAD_REJECTED",
	    "the upload was rejected" },
	[TUS_STOPPED] = { 400, "ERR_UPLOAD_STOPPED",
	    "the upload was stopped and removed" },
	[TUS_TERMINATION_REJECTED] = { 400, "ERR_UPLOAD_TERMINATION_REJECTED",
	    "the upload must stay" },
	[TUS_INTERNAL] = { 500, "ERR_INTERNAL_SERVER_ERROR",
	    "something went wrong here; the server's log says what" },
};

const struct tus_answer *
tus_answer(enum tus_refusal why)
{
	return &answers[why];
}

enum tus_refusal
tus_refusal_for(enum err_code code)
{
	static const enum tus_refusal refusals[ERR_MAX] = {
		[ERR_OK] = TUS_INTERNAL,
		[ERR_INVALID] = TUS_INTERNAL,
		[ERR_NOT_FOUND] = TUS_NOT_FOUND,
		[ERR_GONE] = TUS_GONE,
		[ERR_EXISTS] = TUS_INTERNAL,
		[ERR_LOCKED] = TUS_LOCKED,
		[ERR_CROWDED] = TUS_LOCKED,
		[ERR_CONFLICT] = TUS_LOCKED,
		[ERR_NO_SPACE] = TUS_NO_SPACE,
		[ERR_QUOTA] = TUS_OVER_QUOTA,
		[ERR_CORRUPT] = TUS_INTERNAL,
		[ERR_UNAVAILABLE] = TUS_TOO_BUSY,
		[ERR_AWAY] = TUS_STORE_UNAVAILABLE,
		[ERR_SYSTEM] = TUS_INTERNAL,
	};

	return refusals[code];
}

const char *
web_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 402, "Payment Required" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 422, "Unprocessable Content" },
		{ 423, "Locked" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 460, "Checksum Mismatch" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 507, "Insufficient Storage" },
	};
	size_t i;

	for (i = 0; i < NITEMS(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}
