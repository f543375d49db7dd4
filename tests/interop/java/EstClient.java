import java.io.FileInputStream;
import java.io.FileReader;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.Collections;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.CSRRequestResponse;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.jcajce.JcaHttpAuthBuilder;
import org.bouncycastle.est.jcajce.JcaJceUtils;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;

/** BouncyCastle's EST client, which asks a server for everything RFC 7030 has it ask for. */
public final class EstClient {
    /** Host and port, anchor, user, password, request; all files are PEM. */
    public static void main(String[] words) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        X509Certificate anchor;
        try (FileInputStream in = new FileInputStream(words[1])) {
            anchor = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
        ESTService service =
                new JsseESTServiceBuilder(
                                words[0],
                                JcaJceUtils.getCertPathTrustManager(
                                        Collections.singleton(new TrustAnchor(anchor, null)), null))
                        .withHostNameAuthorizer((name, session) -> name.equals("localhost"))
                        .withTimeout(60000)
                        .build();
        for (Object one : service.getCACerts().getCertificateStore().getMatches(null)) {
            System.out.println("authority " + ((X509CertificateHolder) one).getSubject());
        }
        CSRRequestResponse wishes = service.getCSRAttributes();
        if (wishes.hasAttributesResponse()) {
            for (Object oid : wishes.getAttributesResponse().getRequirements()) {
                System.out.println("wants " + (ASN1ObjectIdentifier) oid);
            }
        }
        PKCS10CertificationRequest request;
        try (PEMParser in = new PEMParser(new FileReader(words[4]))) {
            request = (PKCS10CertificationRequest) in.readObject();
        }
        EnrollmentResponse found =
                service.simpleEnroll(
                        false,
                        request,
                        new JcaHttpAuthBuilder(words[2], words[3].toCharArray()).build());
        for (Object one : found.getStore().getMatches(null)) {
            System.out.println("issued " + ((X509CertificateHolder) one).getSubject());
        }
    }
}
