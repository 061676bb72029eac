# Who did what: rules for auditd, a file for each topic.
#
# @param rules By topic: the rules' lines, in order.
class profile::base::audit (
  Hash[String, Array[String]] $rules,
) {
  # In a container its package would be left with a service that failed.
  unless site::is_container() {
    site::package { 'auditd': }
    -> Site::Service['auditd']
  }
  $rules.each |$topic, $lines| {
    site::file { "/etc/audit/rules.d/50-${topic}.rules":
      content => "${join($lines, "\n")}\n",
      mode    => '0640',
      restart => 'auditd',
    }
  }
  site::service { 'auditd': }
}
