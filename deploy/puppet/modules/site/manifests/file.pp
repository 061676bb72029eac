# A file of the host, named by its path there.
#
# @param content All of its content.
# @param source Or the file of this host that it is a copy of.
# @param owner Whose it is, on a host; so is its group.
# @param mode Its permission bits.
# @param restart The service that has to hear of a change.
define site::file (
  Optional[String]               $content = undef,
  Optional[Stdlib::Absolutepath] $source  = undef,
  String                         $owner   = 'root',
  Stdlib::Filemode               $mode    = '0644',
  Optional[String]               $restart = undef,
) {
  $heard = $restart ? {
    undef   => undef,
    default => Site::Service[$restart],
  }
  file { site::path($title):
    ensure    => file,
    owner     => site::owner($owner),
    group     => site::owner($owner),
    mode      => $mode,
    content   => $content,
    source    => $source,
    # What is copied may be a key: its difference is nobody's to read.
    show_diff => $source =~ Undef,
    notify    => $heard,
  }
}
