# The kernel's settings and modules. Written only; `systemd-sysctl` applies them where it is.
#
# @param sysctl Settings by topic; each topic is a file.
# @param modules Modules to load at boot.
# @param blacklist Modules never to load.
class profile::base::kernel (
  Hash[String, Hash[String, Scalar]] $sysctl,
  Array[String]                      $modules   = [],
  Array[String]                      $blacklist = [],
) {
  $sysctl.each |$topic, $settings| {
    site::file { "/etc/sysctl.d/60-${topic}.conf":
      content => epp('profile/sysctl.conf.epp', { 'topic' => $topic, 'settings' => $settings }),
      restart => 'systemd-sysctl',
    }
  }
  $modules.each |$module| {
    site::file { "/etc/modules-load.d/${module}.conf":
      content => "${module}\n",
    }
  }
  $blacklist.each |$module| {
    site::file { "/etc/modprobe.d/blacklist-${module}.conf":
      content => "install ${module} /bin/false\n",
    }
  }
  site::service { 'systemd-sysctl': }
}
