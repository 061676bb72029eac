# The load balancer before the control plane.
#
# @param frontends By name: the port, and the servers behind it.
# @param max_connections How many connections it takes.
class profile::haproxy (
  Hash[String, Struct[{
    port    => Stdlib::Port,
    servers => Hash[String, String],
  }]]         $frontends,
  Integer[1]  $max_connections = 4096,
) {
  site::dir { ['/etc/haproxy', '/etc/haproxy/errors']: }
  $settings = {
    'frontends'       => $frontends,
    'max_connections' => $max_connections,
  }
  site::file {
    '/etc/haproxy/haproxy.cfg':
      content => epp('profile/haproxy.cfg.epp', $settings),
      restart => 'haproxy';
    '/etc/default/haproxy':
      content => "EXTRAOPTS=\"-W\"\n",
      restart => 'haproxy';
    '/etc/haproxy/errors/503.http':
      content => "HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\nNo server is there.\n";
  }
  site::service { 'haproxy': }
}
