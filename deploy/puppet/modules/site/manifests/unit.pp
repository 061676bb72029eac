# A systemd unit or drop-in of this site's own, and systemd told of it where it is there.
#
# @param content The unit.
# @param service The service to run from it, if any.
define site::unit (
  String           $content,
  Optional[String] $service = undef,
) {
  site::file { "/etc/systemd/system/${title}":
    content => $content,
    restart => $service,
  }
  if $service {
    ensure_resource('site::service', $service)
  }
  if site::is_host() and $facts['service_provider'] == 'systemd' {
    exec { "systemctl daemon-reload for ${title}":
      command     => '/bin/systemctl daemon-reload',
      refreshonly => true,
      subscribe   => Site::File["/etc/systemd/system/${title}"],
      before      => $service ? {
        undef   => undef,
        default => Site::Service[$service],
      },
    }
  }
}
