// Requests through the proxy at PORT with java.net.http: a body with a length, a body in chunks, HEAD.
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

public class Client {
    public static void main(String[] arguments) throws Exception {
        String base = "http://127.0.0.1:" + arguments[0];
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        List<String> answers = new ArrayList<>();
        Object[][] requests = {
            {"GET", "/first?a=1", BodyPublishers.noBody()},
            {"POST", "/second", BodyPublishers.ofString("body")},
            {"PUT", "/third", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream("chunk after chunk".getBytes()))},
            {"HEAD", "/fourth", BodyPublishers.noBody()},
        };
        for (Object[] each : requests) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(base + each[1]))
                .method((String) each[0], (BodyPublisher) each[2]).build();
            HttpResponse<byte[]> response = client.send(request, HttpResponse.BodyHandlers.ofByteArray());
            answers.add(response.statusCode() + " " + Base64.getEncoder().encodeToString(response.body()));
        }
        System.out.println(String.join("\n", answers));
    }
}
