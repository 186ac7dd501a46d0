// Dubbo: `server PORT`, or `client` with calls on standard input. Dubbo replaces 127.0.0.1 by an address of the machine:
// both sides therefore say "loopback", a name of a hosts file that is given with -Djdk.net.hosts.file.
package plait.interop;

import com.google.gson.JsonObject;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

public class DubboPeer {
    private static final Map<String, Echo> PROXIES = new ConcurrentHashMap<>();
    private static final String HEARTBEAT_MS = System.getProperty("heartbeat", "60000");

    public static void main(String[] arguments) throws Exception {
        ApplicationConfig application = new ApplicationConfig("interop-" + arguments[0]);
        application.setQosEnable(false);
        DubboBootstrap bootstrap = DubboBootstrap.getInstance().application(application).registry(new RegistryConfig("N/A"));
        if (arguments[0].equals("server")) {
            ProtocolConfig protocol = new ProtocolConfig("dubbo", Integer.parseInt(arguments[1]));
            protocol.setHost("loopback");
            protocol.setPayload(32 * 1024 * 1024);
            protocol.setHeartbeat(Integer.parseInt(HEARTBEAT_MS));
            ServiceConfig<Echo> service = new ServiceConfig<>();
            service.setInterface(Echo.class);
            service.setRef(new EchoService());
            service.setVersion("1.0");
            bootstrap.protocol(protocol).service(service).start();
            Lines.say("ready");
            bootstrap.await();
        } else {
            bootstrap.start();
            Lines.serve(DubboPeer::call);
            System.exit(0);
        }
    }

    private static Object call(JsonObject line) throws Throwable {
        String port = line.get("target").getAsString().split(":")[1];
        String serialization = line.get("variant").getAsString();
        int timeout = line.get("timeout_ms").getAsInt();
        Echo proxy = PROXIES.computeIfAbsent(port + serialization + timeout, key -> refer(port, serialization, timeout));
        return Lines.invoke(proxy, Echo.class, line);
    }

    private static synchronized Echo refer(String port, String serialization, int timeout) {
        ReferenceConfig<Echo> reference = new ReferenceConfig<>();
        reference.setInterface(Echo.class);
        reference.setVersion("1.0");
        reference.setTimeout(timeout);
        reference.setRetries(0);
        reference.setCheck(false);
        MethodConfig note = new MethodConfig();
        note.setName("note");
        note.setReturn(false);
        reference.setMethods(Collections.singletonList(note));
        Map<String, String> parameters = new HashMap<>();
        parameters.put("heartbeat", HEARTBEAT_MS);
        parameters.put("payload", String.valueOf(32 * 1024 * 1024));
        parameters.put("serialization", serialization);
        reference.setParameters(parameters);
        reference.setUrl("dubbo://loopback:" + port + "/" + Echo.class.getName() + "?serialization=" + serialization
            + "&heartbeat=" + HEARTBEAT_MS);
        return reference.get();
    }
}
