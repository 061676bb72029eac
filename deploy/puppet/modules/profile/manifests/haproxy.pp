# The load balancer before the control plane.
#
# @param frontends By name: the port, the role of the servers behind it, and their port.
# @param max_connections How many connections it takes.
class profile::haproxy (
  Hash[String, Struct[{
    port        => Stdlib::Port,
    role        => String,
    server_port => Stdlib::Port,
  }]]         $frontends,
  Integer[1]  $max_connections = 4096,
) {
  site::package { 'haproxy': }
  -> site::dir { ['/etc/haproxy', '/etc/haproxy/errors']: }
  $settings = {
    'frontends'       => $frontends.reduce({}) |$all, $each| {
      $servers = site::members($each[1]['role']).reduce({}) |$known, $server| {
        $known + { $server[0] => "${server[1]}:${each[1]['server_port']}" }
      }
      $all + { $each[0] => { 'port' => $each[1]['port'], 'servers' => $servers } }
    },
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
