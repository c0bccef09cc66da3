/*
 * refuse.c - what a client is told of a refusal, in one table.
 */
#include "config.h"

#include "base/compat.h"
#include "web/call.h"

static const struct web_words words[WEB_REFUSE_MAX] = {
	[REFUSE_NOT_FOUND] = { 404, "ERR_UPLOAD_NOT_FOUND",
	    "there is no such upload" },
	[REFUSE_GONE] = { 410, "ERR_UPLOAD_GONE",
	    "the upload was not finished in time and has expired" },
	[REFUSE_LOCKED] = { 423, "ERR_UPLOAD_LOCKED",
	    "somebody else is writing to the upload; try again" },
	[REFUSE_INTERRUPTED] = { 423, "ERR_UPLOAD_INTERRUPTED",
	    "another request took the upload over; ask for the offset and "
	    "go on" },
	[REFUSE_TIMED_OUT] = { 423, "ERR_UPLOAD_INTERRUPTED",
	    "the data came too slowly; ask for the offset and go on" },
	[REFUSE_SHUTTING_DOWN] = { 503, "ERR_SERVER_SHUTDOWN",
	    "the server is going down; what came is kept" },
	[REFUSE_TOO_BUSY] = { 503, "ERR_TOO_BUSY",
	    "the server cannot take more now; try again" },
	[REFUSE_LOCK_UNAVAILABLE] = { 503, "ERR_LOCK_UNAVAILABLE",
	    "the locks are out of reach now; try again" },
	[REFUSE_STORE_UNAVAILABLE] = { 503, "ERR_STORE_UNAVAILABLE",
	    "the uploads are out of reach now; try again" },
	[REFUSE_LENGTH_CHANGED] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the length of this upload was another and cannot change" },
	[REFUSE_LENGTH_TOO_SMALL] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "more bytes than that have arrived already" },
	[REFUSE_LENGTHS_DISAGREE] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the upload has another length than that" },
	[REFUSE_BODY_TOO_LARGE] = { 413, "ERR_MAX_SIZE_EXCEEDED",
	    "one request may not bring so much; send it in several" },
	[REFUSE_TOO_LARGE] = { 413, "ERR_MAX_SIZE_EXCEEDED",
	    "larger than the limit of this server; see Tus-Max-Size" },
	[REFUSE_BEYOND_LENGTH] = { 413, "ERR_UPLOAD_SIZE_EXCEEDED",
	    "more bytes than Upload-Length announced" },
	[REFUSE_WRONG_OFFSET] = { 409, "ERR_MISMATCHED_OFFSET",
	    "the upload is at another offset; see Upload-Offset" },
	[REFUSE_RECORD_TOO_LARGE] = { 431, "ERR_METADATA_TOO_LARGE",
	    "Upload-Metadata or Upload-Concat is longer, or has more keys, "
	    "than this server takes" },
	[REFUSE_PART_NOT_FINISHED] = { 400, "ERR_UPLOAD_NOT_FINISHED",
	    "one of the partial uploads is not finished" },
	[REFUSE_PART_NOT_PARTIAL] = { 400, "ERR_INVALID_CONCAT",
	    "one of the uploads is not a partial one" },
	[REFUSE_MODIFY_FINAL] = { 403, "ERR_MODIFY_FINAL",
	    "a final upload cannot be changed" },
	[REFUSE_KEEP_FINISHED] = { 403, "ERR_UPLOAD_TERMINATION_REJECTED",
	    "finished uploads cannot be removed here" },
	[REFUSE_UNKNOWN_ALGORITHM] = { 400, "ERR_CHECKSUM_ALGORITHM",
	    "unknown algorithm; see Tus-Checksum-Algorithm" },
	[REFUSE_DIGEST_MISMATCH] = { 460, "ERR_CHECKSUM_MISMATCH",
	    "the checksum does not match; send the data again" },
	[REFUSE_UNEXPECTED_END] = { 400, "ERR_UNEXPECTED_EOF",
	    "the body ended early; ask for the offset and go on" },
	[REFUSE_OVER_QUOTA] = { 413, "ERR_QUOTA_EXCEEDED",
	    "you have as much here as you may; remove some of your uploads" },
	[REFUSE_NO_SPACE] = { 507, "ERR_NO_SPACE",
	    "the server has no room left; what came is kept" },
	[REFUSE_REJECTED] = { 400, "ERR_UPLOAD_REJECTED",
	    "the upload was rejected" },
	[REFUSE_STOPPED] = { 400, "ERR_UPLOAD_STOPPED",
	    "the upload was stopped and removed" },
	[REFUSE_REMOVAL_REJECTED] = { 400, "ERR_UPLOAD_TERMINATION_REJECTED",
	    "the upload must stay" },
	[REFUSE_INTERNAL] = { 500, "ERR_INTERNAL_SERVER_ERROR",
	    "something went wrong here; the server's log says what" },
	[WEB_REFUSE_ORIGIN] = { 403, "ERR_ORIGIN_NOT_ALLOWED",
	    "this origin may not upload here" },
	[WEB_REFUSE_METHOD] = { 405, "ERR_METHOD_NOT_ALLOWED",
	    "this method is not offered here; see Allow" },
	[WEB_REFUSE_OWNER] = { 403, "ERR_OWNER_UNKNOWN",
	    "log in first: uploads belong to users here" },
	[WEB_REFUSE_BODY_LENGTH] = { 400, "ERR_INVALID_CONTENT_LENGTH",
	    "Content-Length is not a number" },
	[WEB_REFUSE_RANGE] = { 416, "ERR_INVALID_RANGE",
	    "the range is beyond the end" },
	[WEB_REFUSE_PRECONDITION] = { 412, "ERR_PRECONDITION_FAILED",
	    "the file is another one than If-Match names" },
};

const struct web_words *
web_words(int why)
{
	return &words[why];
}

bool
web_refuse(struct web_call *c, int why)
{
	(void)task_refuse(&c->task, why);
	return false;
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
