# A file of the host, named by its path there.
#
# @param content All of its content.
# @param mode Its permission bits.
# @param restart The service that has to hear of a change.
define site::file (
  String           $content,
  Stdlib::Filemode $mode    = '0644',
  Optional[String] $restart = undef,
) {
  $heard = $restart ? {
    undef   => undef,
    default => Site::Service[$restart],
  }
  file { site::path($title):
    ensure  => file,
    owner   => site::owner(),
    group   => site::owner(),
    mode    => $mode,
    content => $content,
    notify  => $heard,
  }
}
