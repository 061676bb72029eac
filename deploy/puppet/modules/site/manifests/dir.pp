# A directory of the host, named by its path there.
#
# @param mode Its permission bits; as they are if not given.
define site::dir (
  Optional[Stdlib::Filemode] $mode = undef,
) {
  file { site::path($title):
    ensure => directory,
    owner  => site::owner(),
    group  => site::owner(),
    mode   => $mode,
  }
}
