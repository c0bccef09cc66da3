"""What a web server does by itself or cannot do, by the tests that notice.

{transport: [(regular expression for a test, reason)]}; where one matches, the
test is expected to fail there, and is not run because it may take a minute to.
"""

import re

# lighttpd
EMPTY = "lighttpd does not pass on an empty header"
METHODS = "lighttpd answers 501 to a method that it does not know"
RANGES = "lighttpd cuts ranges out of an answer by itself"
PATHS = "lighttpd normalises the path before it asks anybody"
REASON = "lighttpd writes the reason of a status itself"
# Apache
STALLED = ("mod_proxy_fcgi holds an answer back until the body is over, and "
           "answers 408 in its place when the client stalls")
LOCATION = "the path is in Apache's configuration, not only in ours"
TRACE = "Apache answers TRACE itself"
LONG_PATH = "Apache looks for a file of that name, and 403 is what it finds"
OURS = "mod_fcgid runs the program, so a test cannot replace or limit it"
TRAILER = "mod_fcgid does not say that a trailer was announced"

LIGHTTPD = [
    (r"test_bad_input.py::test_creations\[.*'Upload-Checksum': -400", EMPTY),
    (r"test_bad_input.py::test_checksums\[\w+-+-?400", EMPTY),
    (r"::test_a_malformed_header_is_400\[[\w-]*- ?\]", EMPTY),
    (r"::test_malformed_integers_are_400\[[\w-]*- ?\]", EMPTY),
    (r"test_bad_input.py::test_methods\[", METHODS),
    (r"::test_the_real_method_does_not_matter\[", METHODS),
    (r"::test_other_methods_are_405\[.*FOO\]", METHODS),
    (r"::test_ten_thousand_mutations_crash_nothing\[", METHODS),
    (r"test_bad_input.py::test_ranges\[", RANGES),
    (r"::test_what_is_no_single_range_is_the_whole\[", RANGES),
    (r"::test_the_reason_of_460\[", REASON),
    (r"::test_absolute_from_the_host\[", PATHS),
    (r"::test_outside_the_base_path_is_404\[[\w-]*-/\]", PATHS),
    (r"::test_no_strange_id_is_anything\[[\w-]*-\.\.", PATHS),
    (r"::test_the_version_comes_before_existence\[", PATHS),
]
APACHE_PROXY = [
    (r"::test_unverified_bytes_are_seen_by_nobody\[", STALLED),
    (r"::test_sigterm_in_a_patch_keeps_the_bytes\[", STALLED),
    (r"::test_head_takes_over_a_running_patch\[", STALLED),
    (r"::test_a_reconnect_takes_over_a_dead_link\[", STALLED),
    (r"::test_a_stopped_holder_is_423_and_never_robbed\[", STALLED),
    (r"::test_the_lock_is_handed_over_between_pools\[", STALLED),
    (r"::test_a_request_to_let_go_hits_one_holder_only\[", STALLED),
    (r"::test_a_content_length_beyond_32_bits\[", STALLED),
    (r"::test_a_stalled_client_is_cut_and_its_bytes_kept\[", STALLED),
    (r"::test_delete_takes_over_a_running_patch\[", STALLED),
    (r"::test_unverified_bytes_are_discarded\[", STALLED),
    (r"::test_either_protocol_takes_over_from_either\[", STALLED),
    (r"::test_a_cancellation_ends_an_append\[", STALLED),
    (r"::test_ten_thousand_mutations_crash_nothing\[", STALLED),
    (r"::test_another_base_path\[", LOCATION),
]
APACHE_FCGID = [
    (r"::test_a_trailer_is_refused_not_ignored\[", TRAILER),
    (r"::test_no_space_in_a_body_is_507_and_keeps_what_fitted\[", OURS),
    (r"::test_no_space_for_the_final_upload_is_507\[", OURS),
    (r"::test_parts_go_where_the_configuration_says_so\[", OURS),
    (r"::test_a_store_that_cannot_be_written_is_500\[", OURS),
    (r"::test_trace_is_405_by_whoever_answers\[", TRACE),
    (r"::test_another_base_path\[", LOCATION),
    (r"::test_no_strange_id_is_anything\[[\w-]*-a{20}", LONG_PATH),
    (r"::test_ten_thousand_mutations_crash_nothing\[", LONG_PATH),
]
CANNOT = {
    "lighttpd": LIGHTTPD,
    "apache-proxy": APACHE_PROXY,
    "apache-fcgid": APACHE_FCGID,
}


def reason_for(transport, nodeid):
    """Why this test cannot pass there; None if it has to."""
    for pattern, reason in CANNOT.get(transport, ()):
        if re.search(pattern, nodeid):
            return reason
    return None
