<?php
/*
 * As much of WordPress as etc/examples/wordpress calls, in PHP's own web server:
 * the users, the types that the media library takes, and a library in a folder.
 */
declare(strict_types=1);

define('ABSPATH', getenv('WORDPRESS') . '/');
const TUSFCGI_SECRET = 'correct horse';
const LOGGED_IN_COOKIE = 'wordpress_logged_in_0123';
const USERS = ['ann|cookie' => 7, 'sub|cookie' => 8];

class WP_REST_Request
{
    public function get_body(): string
    {
        return file_get_contents('php://input');
    }

    public function get_header(string $name): ?string
    {
        return $_SERVER['HTTP_' . strtoupper($name)] ?? null;
    }
}

class WP_Error
{
    public function __construct(public string $code, public string $message,
        public array $data = [])
    {
    }

    public function get_error_message(): string
    {
        return $this->message;
    }
}

function is_wp_error(mixed $thing): bool
{
    return $thing instanceof WP_Error;
}

function library(?array $new = null): array
{
    $file = ABSPATH . 'library.json';
    $all = is_file($file) ? json_decode(file_get_contents($file), true) : [];
    if ($new !== null)
        file_put_contents($file, json_encode($all = $new));
    return $all;
}

function wp_validate_auth_cookie(string $cookie, string $scheme): int|false
{
    return $scheme === 'logged_in' ? USERS[$cookie] ?? false : false;
}

function user_can(int $user, string $what): bool
{
    return $user === 7 && $what === 'upload_files';
}

function wp_check_filetype(string $name): array
{
    $types = ['png' => 'image/png'];
    return ['type' => $types[pathinfo($name, PATHINFO_EXTENSION)] ?? false];
}

function wp_tempnam(string $name): string
{
    return tempnam(sys_get_temp_dir(), 'wp');
}

function get_posts(array $query): array
{
    return array_keys(array_filter(library(),
        fn($one) => $one['meta'][$query['meta_key']] === $query['meta_value']));
}

function media_handle_sideload(array $file, int $post, ?string $text, array $more)
{
    if (is_file(ABSPATH . 'full'))
        return new WP_Error('upload', 'the disk is full');
    rename($file['tmp_name'], ABSPATH . $file['name']);
    library([...library(), ['name' => $file['name'], 'meta' => [],
        'author' => $more['post_author']]]);
    return count(library()) - 1;
}

function update_post_meta(int $id, string $key, string $value): void
{
    $all = library();
    $all[$id]['meta'][$key] = $value;
    library($all);
}

function add_action(string $when, callable $what): void
{
    $what();
}

function register_rest_route(string $space, string $route, array $options): void
{
    $request = new WP_REST_Request();
    if ("/$space$route" !== ($_GET['rest_route'] ?? '') ||
        $_SERVER['REQUEST_METHOD'] !== $options['methods']) {
        http_response_code(404);
        return;
    }
    if (!$options['permission_callback']($request)) {
        http_response_code(401);
        return;
    }
    $answer = $options['callback']($request);
    if (is_wp_error($answer))
        http_response_code($answer->data['status']);
    header('Content-Type: application/json');
    echo json_encode($answer);
}

require getenv('PLUGIN');
