# A package, where this site installs packages; the lists of what there is are fetched when it is unknown.
#
# @param version Exactly this version, or whichever is there.
define site::package (
  String $version = 'installed',
) {
  if site::installs_packages() {
    $wanted = $version ? {
      'installed' => $title,
      default     => "${title}=${version}",
    }
    # Whoever else is at work with apt (its own timers) is waited for.
    exec { "apt-get update for ${wanted}":
      command   => '/usr/bin/apt-get -q update',
      unless    => "/usr/bin/apt-cache show '${wanted}'",
      tries     => 6,
      try_sleep => 10,
    }
    -> package { $title:
      ensure          => $version,
      install_options => ['-o', 'DPkg::Lock::Timeout=120'],
    }
  }
}
