<?php
/*
 * Plugin Name: Resumable uploads by tusfcgi
 * Description: Finished uploads come into the media library.
 * Version: 0.1.0
 * Requires PHP: 8.0
 * License: MIT
 */
/*
 * Put this file into wp-content/plugins and activate it.  wp-config.php gets
 *
 *     define('TUSFCGI_SECRET', 'a long secret');
 *
 * and tusfcgi.conf
 *
 *     hooks: {
 *         url = "https://www.example.org/?rest_route=/tusfcgi/v1/hook";
 *         secret = "a long secret";
 *         events = ( "pre-create", "post-finish" );
 *         forward_headers = ( "Cookie" );
 *     };
 *
 * Uploads have to be on the same site as WordPress, for example at /files/:
 * the cookie of its login says who uploads.  PHP must be able to read what is
 * stored: adduser www-data tusfcgi.  The library gets a copy; retention.after
 * removes the upload.
 */
declare(strict_types=1);

defined('ABSPATH') || exit;

add_action('rest_api_init', static function (): void {
    register_rest_route('tusfcgi/v1', '/hook', [
        'methods' => 'POST',
        'callback' => 'tusfcgi_hook',
        'permission_callback' => 'tusfcgi_is_signed',
    ]);
});

/* Nobody but tusfcgi knows the secret. */
function tusfcgi_is_signed(WP_REST_Request $request): bool
{
    if (!defined('TUSFCGI_SECRET') || TUSFCGI_SECRET === '')
        return false;
    return hash_equals(
        'sha256=' . hash_hmac('sha256', $request->get_body(), TUSFCGI_SECRET),
        (string)$request->get_header('x_hook_signature'));
}

function tusfcgi_hook(WP_REST_Request $request)
{
    $event = json_decode($request->get_body(), true, 32, JSON_THROW_ON_ERROR);
    $upload = $event['Event']['Upload'];

    return match ($event['Type']) {
        'pre-create' => tusfcgi_may_upload($upload,
            $event['Event']['HTTPRequest']['Header']['Cookie'] ?? []),
        'post-finish' => tusfcgi_import($upload),
        default => new stdClass(),
    };
}

function tusfcgi_refuse(int $status, string $why): array
{
    return [
        'RejectUpload' => true,
        'HTTPResponse' => ['StatusCode' => $status, 'Body' => "$why\n"],
    ];
}

/* The id of the user whom the cookies belong to, 0 if nobody is logged in. */
function tusfcgi_user(array $headers): int
{
    foreach (explode(';', implode(';', $headers)) as $pair) {
        [$name, $value] = explode('=', trim($pair), 2) + [1 => ''];
        if ($name === LOGGED_IN_COOKIE)
            return (int)wp_validate_auth_cookie(urldecode($value), 'logged_in');
    }
    return 0;
}

function tusfcgi_may_upload(array $upload, array $cookies): array
{
    $metadata = $upload['MetaData'];
    $user = tusfcgi_user($cookies);

    if (!$user || !user_can($user, 'upload_files'))
        return tusfcgi_refuse(403, 'log in to WordPress first');
    // The parts of a parallel upload have no name; the whole comes here, too.
    if (!$upload['IsPartial'] &&
        !wp_check_filetype($metadata['filename'] ?? '')['type'])
        return tusfcgi_refuse(415, 'the media library takes no such files');
    // Whatever the client has said: this is who it is.
    $metadata['wordpress_user'] = (string)$user;
    return ['ChangeFileInfo' => ['MetaData' => $metadata]];
}

/* An event may come twice: what is in the library already stays alone. */
function tusfcgi_import(array $upload)
{
    $known = get_posts([
        'post_type' => 'attachment', 'post_status' => 'any', 'fields' => 'ids',
        'meta_key' => '_tusfcgi_id', 'meta_value' => $upload['ID'],
    ]);
    if ($upload['IsPartial'] || $known)
        return new stdClass();

    foreach (['file', 'image', 'media'] as $part)
        require_once ABSPATH . "wp-admin/includes/$part.php";
    $name = $upload['MetaData']['filename'];
    $copy = wp_tempnam($name);
    if (!copy($upload['Storage']['Path'], $copy)) {
        @unlink($copy);
        return new WP_Error('tusfcgi', 'cannot read the upload', ['status' => 500]);
    }
    $id = media_handle_sideload(['name' => $name, 'tmp_name' => $copy], 0, null,
        ['post_author' => (int)$upload['MetaData']['wordpress_user']]);
    if (is_wp_error($id)) {
        @unlink($copy);
        return new WP_Error('tusfcgi', $id->get_error_message(), ['status' => 500]);
    }
    update_post_meta($id, '_tusfcgi_id', $upload['ID']);
    return new stdClass();
}
