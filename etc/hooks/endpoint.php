<?php
/*
 * endpoint.php - an endpoint for the hooks of tusfcgi.
 *
 * An example: put it where PHP runs, set the secret, and configure
 *
 *     hooks: {
 *         url = "http://127.0.0.1/hooks/endpoint.php";
 *         secret = "the same secret";
 *     };
 *
 * The answer is JSON, or nothing.  A status of 500 says "once more, please".
 * An event may come twice; X-Tus-Event-Id is the same then.
 */
declare(strict_types=1);

const MAX_SIZE = 10 * 1024 * 1024 * 1024;
const TYPES = ['image/jpeg', 'image/png', 'application/pdf'];

function refuse(int $status, string $why): array
{
    return [
        'RejectUpload' => true,
        'HTTPResponse' => [
            'StatusCode' => $status,
            'Body' => json_encode(['error' => $why]),
            'Header' => ['Content-Type' => 'application/json'],
        ],
    ];
}

/* Who sent this?  Nobody but tusfcgi knows the secret. */
function isSigned(string $body): bool
{
    $secret = getenv('TUS_HOOK_SECRET') ?: '';
    $mine = 'sha256=' . hash_hmac('sha256', $body, $secret);

    return $secret !== '' &&
        hash_equals($mine, $_SERVER['HTTP_X_HOOK_SIGNATURE'] ?? '');
}

/* May this upload be made?  The length may not be known yet. */
function preCreate(array $upload): array
{
    $metadata = $upload['MetaData'];

    if ($upload['Size'] > MAX_SIZE)
        return refuse(413, 'at most 10 GiB, please');
    // A part of a parallel upload has no name of its own and nobody can fetch
    // it.  The whole that is made of the parts comes here, too.
    if ($upload['IsPartial'])
        return [];
    if (!isset($metadata['filename']))
        return refuse(400, 'an upload must have a filename');
    if (!in_array($metadata['filetype'] ?? '', TYPES, true))
        return refuse(415, 'only pictures and PDF, please');

    // What is handed on to the other events, and to whoever asks for it.
    $metadata['filename'] = basename($metadata['filename']);
    return ['ChangeFileInfo' => ['MetaData' => $metadata]];
}

/* It is complete.  Here a database would be told of it. */
function postFinish(array $upload): array
{
    if ($upload['IsPartial'])
        return [];
    error_log("upload {$upload['ID']} is at {$upload['Storage']['Path']}");
    return [];
}

$body = file_get_contents('php://input');
if (!isSigned($body)) {
    http_response_code(403);
    exit;
}

$event = json_decode($body, true, 32, JSON_THROW_ON_ERROR);
$upload = $event['Event']['Upload'];
$answer = match ($event['Type']) {
    'pre-create' => preCreate($upload),
    'post-finish' => postFinish($upload),
    default => [],
};

header('Content-Type: application/json');
echo json_encode($answer, JSON_FORCE_OBJECT);
