# What a process and a login may use.
#
# @param limits By topic: lines of limits.conf as domain, type, item and value.
# @param environment Variables of every login.
class profile::base::limits (
  Hash[String, Array[Tuple[String, String, String, Scalar]]] $limits,
  Hash[String, String]                                       $environment = {},
) {
  $limits.each |$topic, $lines| {
    site::file { "/etc/security/limits.d/60-${topic}.conf":
      content => $lines.map |$line| { "${join($line, ' ')}\n" }.join,
    }
  }
  site::file {
    '/etc/profile.d/site.sh':
      content => $environment.map |$name, $value| { "export ${name}='${value}'\n" }.join;
    '/etc/systemd/system.conf.d/10-site.conf':
      content => epp('profile/system.conf.epp');
  }
}
