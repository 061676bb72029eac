# Logs are kept, bounded, and rotated.
#
# @param journald Settings of journald.
# @param rotate By name: what is rotated, how often, how many are kept.
class profile::base::logging (
  Hash[String, Scalar] $journald,
  Hash[String, Struct[{
    paths => Array[Stdlib::Absolutepath, 1],
    every => Enum['daily', 'weekly', 'monthly'],
    keep  => Integer[1],
    size  => Optional[String],
  }]] $rotate,
) {
  site::file { '/etc/systemd/journald.conf.d/10-site.conf':
    content => epp('profile/journald.conf.epp', { 'settings' => $journald }),
    restart => 'systemd-journald',
  }
  $rotate.each |$name, $rule| {
    site::file { "/etc/logrotate.d/${name}":
      content => epp('profile/logrotate.epp', $rule),
    }
  }
  site::service { 'systemd-journald': }
}
