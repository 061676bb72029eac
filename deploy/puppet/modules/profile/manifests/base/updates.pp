# Security updates come by themselves; everything else comes with a bundle.
#
# @param origins Where packages may come from unattended.
# @param held Packages that only a bundle may change.
class profile::base::updates (
  Array[String] $origins,
  Array[String] $held = [],
) {
  # Priority 1: installed where it is wanted, never to a newer version by itself.
  site::file {
    '/etc/apt/apt.conf.d/20auto-upgrades':
      content => epp('profile/auto-upgrades.epp');
    '/etc/apt/apt.conf.d/50unattended-upgrades':
      content => epp('profile/unattended-upgrades.epp', { 'origins' => $origins, 'held' => $held });
    '/etc/apt/preferences.d/60-site':
      content => $held.map |$package| { "Package: ${package}\nPin: release *\nPin-Priority: 1\n" }.join("\n");
  }
}
