//! The words of a refusal (rules 2, section 1), the same on the wire, in JSON and in metrics.
//! Never renamed, never reused.

/// Every seat is taken.
pub const NO_SEATS: &str = "no_seats";
/// Seats are free, but none whose maintenance covers the release.
pub const NO_COVERED_SEAT: &str = "no_covered_seat";
/// The free seats are kept for others.
pub const RESERVED_FOR_OTHERS: &str = "reserved_for_others";
/// The user has as many as policy allows.
pub const LIMIT_USER: &str = "limit_user";
/// The host has as many as policy allows.
pub const LIMIT_HOST: &str = "limit_host";
/// The group has as many as policy allows.
pub const LIMIT_GROUP: &str = "limit_group";
/// The project has as many as policy allows.
pub const LIMIT_PROJECT: &str = "limit_project";
/// A rule of the policy denies it.
pub const DENIED_BY_RULE: &str = "denied_by_rule";
/// The license or policy names who may, and this is nobody of them.
pub const NOT_NAMED: &str = "not_named";
/// No license in force serves the feature.
pub const UNKNOWN_FEATURE: &str = "unknown_feature";
/// Several vendors sell the feature and the request names none.
pub const AMBIGUOUS_VENDOR: &str = "ambiguous_vendor";
/// The license begins on a later day.
pub const NOT_STARTED: &str = "not_started";
/// The license has ended.
pub const EXPIRED: &str = "expired";
/// The trial has ended.
pub const EVALUATION_EXPIRED: &str = "evaluation_expired";
/// The subscription has ended.
pub const SUBSCRIPTION_EXPIRED: &str = "subscription_expired";
/// The release is newer than the version owned.
pub const VERSION_NOT_LICENSED: &str = "version_not_licensed";
/// The release is above the highest version the license allows.
pub const VERSION_ABOVE_MAXIMUM: &str = "version_above_maximum";
/// The release came after maintenance ended.
pub const MAINTENANCE_EXPIRED: &str = "maintenance_expired";
/// Maintenance begins on a later day.
pub const MAINTENANCE_NOT_STARTED: &str = "maintenance_not_started";
/// Maintenance does not include minor updates.
pub const MINOR_UPDATE_NOT_INCLUDED: &str = "minor_update_not_included";
/// Maintenance does not include major updates.
pub const MAJOR_UPDATE_NOT_INCLUDED: &str = "major_update_not_included";
/// The program did not say its version.
pub const RELEASE_VERSION_REQUIRED: &str = "release_version_required";
/// The program's version is not one.
pub const RELEASE_VERSION_INVALID: &str = "release_version_invalid";
/// The program did not say its release date.
pub const RELEASE_DATE_REQUIRED: &str = "release_date_required";
/// The program's release date is not one.
pub const RELEASE_DATE_INVALID: &str = "release_date_invalid";
/// Not licensed on the client's platform.
pub const PLATFORM: &str = "platform";
/// Not licensed in the client's time zone.
pub const TIME_ZONE: &str = "time_zone";
/// Licensed for another client machine.
pub const CLIENT_HOST_MISMATCH: &str = "client_host_mismatch";
/// The license or policy lends no seats.
pub const BORROW_NOT_ALLOWED: &str = "borrow_not_allowed";
/// Longer than seats can be lent.
pub const BORROW_TOO_LONG: &str = "borrow_too_long";
/// As many are lent as policy allows.
pub const BORROW_LIMIT: &str = "borrow_limit";
/// No room left to wait.
pub const QUEUE_FULL: &str = "queue_full";
/// Waited as long as asked.
pub const QUEUE_TIMEOUT: &str = "queue_timeout";
/// The session existed and has ended.
pub const ALREADY_REMOVED: &str = "already_removed";
/// Another connection has resumed it.
pub const RESUMED_ELSEWHERE: &str = "resumed_elsewhere";
/// No such session or bundle, or the secret is wrong, or another connection holds it.
pub const UNKNOWN_SESSION: &str = "unknown_session";
/// The message breaks the protocol or a field its limits; `fault` in the details says how.
pub const BAD_REQUEST: &str = "bad_request";
/// The server wants to know who this is.
pub const NOT_AUTHENTICATED: &str = "not_authenticated";
/// Not over this connection, or not for this reader.
pub const NOT_PERMITTED: &str = "not_permitted";
/// Over a limit of the server; later.
pub const RATE_LIMITED: &str = "rate_limited";
/// The server's clock is behind; licenses with dates give no new seats.
pub const CLOCK_SUSPECT: &str = "clock_suspect";
/// Another server of the three answers.
pub const NOT_LEADER: &str = "not_leader";
/// The server stops.
pub const SHUTTING_DOWN: &str = "shutting_down";
/// The server has more to do than it can hold; again in a moment.
pub const BUSY: &str = "busy";
/// The client speaks only versions of the protocol that the server no longer does.
pub const CLIENT_TOO_OLD: &str = "client_too_old";
/// The client speaks only versions that the server does not know yet.
pub const SERVER_TOO_OLD: &str = "server_too_old";
/// The server could not, and it is not the client's fault.
pub const INTERNAL: &str = "internal";

/// Every code, in the order of the rules.
pub const ALL: &[&str] = &[
    NO_SEATS,
    NO_COVERED_SEAT,
    RESERVED_FOR_OTHERS,
    LIMIT_USER,
    LIMIT_HOST,
    LIMIT_GROUP,
    LIMIT_PROJECT,
    DENIED_BY_RULE,
    NOT_NAMED,
    UNKNOWN_FEATURE,
    AMBIGUOUS_VENDOR,
    NOT_STARTED,
    EXPIRED,
    EVALUATION_EXPIRED,
    SUBSCRIPTION_EXPIRED,
    VERSION_NOT_LICENSED,
    VERSION_ABOVE_MAXIMUM,
    MAINTENANCE_EXPIRED,
    MAINTENANCE_NOT_STARTED,
    MINOR_UPDATE_NOT_INCLUDED,
    MAJOR_UPDATE_NOT_INCLUDED,
    RELEASE_VERSION_REQUIRED,
    RELEASE_VERSION_INVALID,
    RELEASE_DATE_REQUIRED,
    RELEASE_DATE_INVALID,
    PLATFORM,
    TIME_ZONE,
    CLIENT_HOST_MISMATCH,
    BORROW_NOT_ALLOWED,
    BORROW_TOO_LONG,
    BORROW_LIMIT,
    QUEUE_FULL,
    QUEUE_TIMEOUT,
    ALREADY_REMOVED,
    RESUMED_ELSEWHERE,
    UNKNOWN_SESSION,
    BAD_REQUEST,
    NOT_AUTHENTICATED,
    NOT_PERMITTED,
    RATE_LIMITED,
    CLOCK_SUSPECT,
    NOT_LEADER,
    SHUTTING_DOWN,
    BUSY,
    CLIENT_TOO_OLD,
    SERVER_TOO_OLD,
    INTERNAL,
];
